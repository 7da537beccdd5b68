package replica

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// keyInfo separates the nodes' keys from whatever else is made of the secret.
const keyInfo = "understudy session link, node key 1: "

// Refusals of the other end.
var (
	errNoName   = errors.New("the other end shows no certificate with a node name")
	errOwnName  = errors.New("the other end has this node's own name")
	errStranger = errors.New("the other end is no configured peer")
	errKey      = errors.New("the other end does not have the cluster secret")
	errNotHim   = errors.New("the other end is another node than expected")
)

// isRefusal tells whether err is one of them.
func isRefusal(err error) bool {
	for _, e := range []error{errNoName, errOwnName, errStranger, errKey, errNotHim} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// nodeKey derives a node's key from the cluster secret. Each node has its own:
// one key for all could be reflected, a node would be talking to itself.
func nodeKey(secret []byte, node string) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, keyInfo+node, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("replica: node key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// keyring is who this node is and whom it knows.
type keyring struct {
	node  string
	own   tls.Certificate
	peers map[string][]ed25519.PublicKey // name: one for each accepted secret
}

func newKeyring(node string, secrets [][]byte, peers []Peer) (*keyring, error) {
	k := &keyring{node: node, peers: map[string][]ed25519.PublicKey{}}
	key, err := nodeKey(secrets[0], node)
	if err != nil {
		return nil, err
	}
	if k.own, err = certificate(node, key); err != nil {
		return nil, err
	}
	for _, p := range peers {
		for _, s := range secrets {
			key, err := nodeKey(s, p.Name)
			if err != nil {
				return nil, err
			}
			k.peers[p.Name] = append(k.peers[p.Name], key.Public().(ed25519.PublicKey))
		}
	}
	return k, nil
}

// certificate carries the node's name and key. Nobody checks its dates: a
// gateway must find its peer before it knows the time.
func certificate(node string, key ed25519.PrivateKey) (tls.Certificate, error) {
	t := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: node},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("replica: certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// config is the TLS configuration of a connection to the peer named want, or of
// one from any peer if want is empty. Chains, names and dates are not what is
// verified here: the key is. The handshake proves that the other end has it.
func (k *keyring) config(want string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{k.own},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // replaced by verify
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			name, err := k.verify(s)
			if err == nil && want != "" && name != want {
				return errNotHim
			}
			return err
		},
	}
}

// verify returns the name of the peer at the other end.
func (k *keyring) verify(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) == 0 || s.PeerCertificates[0].Subject.CommonName == "" {
		return "", errNoName
	}
	c := s.PeerCertificates[0]
	name := c.Subject.CommonName
	if name == k.node {
		return "", errOwnName
	}
	keys, ok := k.peers[name]
	if !ok {
		return "", errStranger
	}
	key, ok := c.PublicKey.(ed25519.PublicKey)
	if !ok || !slices.ContainsFunc(keys, func(want ed25519.PublicKey) bool { return want.Equal(key) }) {
		return "", errKey
	}
	return name, nil
}

// Rekey changes the cluster secrets: the first is used and all are accepted from
// the next connection on; those that stand are left alone. To change the secret
// without an interruption, every node must accept the new one before any uses it.
func (e *Engine) Rekey(secrets [][]byte) error {
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	k, err := newKeyring(e.cfg.Node, secrets, e.cfg.Peers)
	if err != nil {
		return err
	}
	e.keys.Store(k)
	return nil
}

func checkSecrets(secrets [][]byte) error {
	if len(secrets) == 0 {
		return errors.New("replica: no secret")
	}
	for _, s := range secrets {
		if len(s) != 32 {
			return fmt.Errorf("replica: a secret of %d bytes, want 32", len(s))
		}
	}
	return nil
}
