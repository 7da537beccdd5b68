package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/decode"
)

func newDecode() *cobra.Command {
	var asJSON, verbose bool
	var file, iface string
	c := &cobra.Command{
		Use:   "decode FILE|HEX|-",
		Short: "VRRP, LACP, ARP and NA frames with the verdict a receiver would give, and why",
		Long: "Reads Ethernet frames from a pcap or pcapng recording, from standard input (-: a recording, or\n" +
			"hexadecimal text with one frame a line), or one frame from the command line in hexadecimal, and\n" +
			"says of each what a receiver would; with --config and --interface, what the routers there would.\n" +
			"Exit code 0 if everything could be read, whatever the verdicts; 2 if not.",
		Example: "  tcpdump -U -w - -i lan0 vrrp | understudy decode -\n" +
			"  understudy decode --json --config /etc/understudy/understudy.toml --interface lan0 lan0.pcap",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := loadLocal(file, iface)
			if err != nil {
				return err
			}
			in, err := openFrames(args[0], cmd.InOrStdin())
			if err != nil {
				return usageError(err)
			}
			defer in.Close()
			out := bufio.NewWriter(cmd.OutOrStdout())
			err = decodeAll(&decode.Judge{Local: local}, flushing{in, out}, resultWriter(out, asJSON, verbose))
			return cmp.Or(err, out.Flush())
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print one JSON object a frame (a stable form)")
	f.BoolVarP(&verbose, "verbose", "v", false, "print the fields of each frame, too")
	f.StringVar(&file, "config", "", "configuration file to judge by; needs --interface")
	f.StringVar(&iface, "interface", "", "interface of that configuration whose routers judge")
	return c
}

// loadLocal returns what the configuration says of an interface, nil without
// one. The cluster secret is not looked at: the file may be from elsewhere.
func loadLocal(file, iface string) (*decode.Local, error) {
	if (file == "") != (iface == "") {
		return nil, usageError(errors.New("--config and --interface go together: a verdict is that of one interface"))
	}
	if file == "" {
		return nil, nil
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError(err)
	}
	cfg, err := config.Parse(file, src, config.Options{})
	if err != nil {
		return nil, configError(err)
	}
	local := &decode.Local{Interface: iface}
	var others []string
	for _, r := range cfg.Election().Routers {
		if r.Interface == iface {
			local.Routers = append(local.Routers, r)
		} else if !slices.Contains(others, r.Interface) {
			others = append(others, r.Interface)
		}
	}
	if len(local.Routers) == 0 {
		return nil, usageError(fmt.Errorf("%s has no router on %s; it has some on %s", file, iface, strings.Join(others, ", ")))
	}
	return local, nil
}

// openFrames finds out what the argument is. A file that exists is read, even if
// its name could be a frame.
func openFrames(arg string, stdin io.Reader) (io.ReadCloser, error) {
	if arg == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(arg)
	if err == nil {
		return f, nil
	}
	frame, hexErr := decode.Hex(arg)
	switch {
	case hexErr == nil:
		return io.NopCloser(strings.NewReader(fmt.Sprintf("%x\n", frame))), nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file, and not a frame: %w", arg, hexErr)
	}
	return nil, err
}

func decodeAll(judge *decode.Judge, in io.Reader, write func(decode.Result) error) error {
	source, err := decode.Open(in)
	if err != nil {
		return usageError(err)
	}
	for {
		switch frame, err := source.Next(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return usageError(err)
		default:
			if err := write(judge.Frame(frame)); err != nil {
				return err
			}
		}
	}
}

func resultWriter(w io.Writer, asJSON, verbose bool) func(decode.Result) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(r decode.Result) error { return e.Encode(r) }
	}
	line := decode.Result.Text
	if verbose {
		line = decode.Result.Verbose
	}
	return func(r decode.Result) error {
		_, err := fmt.Fprintln(w, line(r))
		return err
	}
}

// flushing shows what there is before it waits for more.
type flushing struct {
	in  io.Reader
	out *bufio.Writer
}

func (f flushing) Read(p []byte) (int, error) {
	f.out.Flush() // an error stays: the next write returns it
	return f.in.Read(p)
}
