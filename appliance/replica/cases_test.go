package replica_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// cases maps the failure cases that session replication is held to, by number, to
// the test that covers each: one of this package, or DIR: one of another.
var cases = []struct {
	n    int
	what string
	test string
	dir  string
}{
	{1, "the daemon is killed", "TestHealsWithinSeconds", "appliance/e2e"},
	{2, "the daemon stands still for 10 s", "TestHealsWithinSeconds", "appliance/e2e"},
	{3, "the active node crashes", "TestCrashUnderLoad", "appliance/e2e"},
	{4, "a power cut of both, replayed from the journal", "TestCase04PowerCutOfBoth", ""},
	{4, "the same, whole machines under load", "TestPowerCutOfBoth", "appliance/e2e"},
	{5, "the session link is down, the others are up", "TestHealsWithinSeconds", "appliance/e2e"},
	{6, "the session link flaps at 1 Hz", "TestHealsWithinSeconds", "appliance/e2e"},
	{7, "a session link with delay, loss and reordering", "TestCase7DelayLossAndReorder", ""},
	{7, "a peer that dies in the middle of a frame", "TestPeerDiesMidFrame", ""},
	{8, "a peer that never acknowledges", "TestPeerThatNeverAcknowledges", ""},
	{8, "a peer that reads nothing, under churn", "TestCase8StalledPeerUnderChurn", ""},
	{8, "a peer that stands still for 10 s", "TestHealsWithinSeconds", "appliance/e2e"},
	{9, "an ENOBUFS storm", "TestOverrunIsHealedByADump", ""},
	{10, "events lost during a transfer", "TestCase10EventsLostDuringATransfer", ""},
	{11, "an event before and after its dump record", "TestDumpLosesToEventsSinceItBegan", "nat/session"},
	{12, "an end and a beginning of the same tuple", "TestEndDuringTheFirstDump", ""},
	{13, "a standby whose table is full", "TestCase13TableFullOnTheStandby", ""},
	{14, "an owner whose table is full", "TestCase14TableFullOnTheOwner", ""},
	{15, "a daemon that is restarted, under events=1 and 2", "TestCase15DaemonRestart", ""},
	{16, "TCP download at full speed, scales 0, 7, 14", "TestCase16and17BulkTransfers", ""},
	{17, "TCP upload at full speed", "TestCase16and17BulkTransfers", ""},
	{18, "the server speaks first", "TestCase18and19TheServerSpeaksFirstAfterAWhile", ""},
	{19, "an idle connection", "TestCase18and19TheServerSpeaksFirstAfterAWhile", ""},
	{20, "half-closed and closed connections", "TestCase20HalfClosedAndClosed", ""},
	{21, "a handshake at the crash", "TestCase21HandshakeAtTheCrash", ""},
	{22, "a connection picked up in its middle", "TestCase22PickedUpInItsMiddle", ""},
	{23, "no reset by the address's own stack", "TestStrayToThePool", "nat/nft"},
	{24, "nothing untranslated gets out", "TestUntranslatedSourceDoesNotLeave", "nat/nft"},
	{25, "a forward with another port", "TestCase25to27Translations", ""},
	{26, "a source with another port", "TestCase25to27Translations", ""},
	{27, "hairpin", "TestCase25to27Translations", ""},
	{28, "one-to-one translation, both ways, without replication", "TestCase28StaticWithoutReplication", ""},
	{28, "the same, with it, across a crash", "TestMappingsOutliveACrash", "appliance/e2e"},
	{29, "no port twice after a takeover", "TestCase29NoPortTwice", ""},
	{29, "nor one that nobody has heard of", "TestCase29SplitPorts", ""},
	{30, "clashes, either way", "TestStrayInTheWay", ""},
	{30, "clashes, either way", "TestTermConflict", ""},
	{31, "an entry that is not translated", "TestVerbatimReplayIsCaught", "nat/conntrack"},
	{32, "a translation always has a port", "TestMissingNATAttributeChangesThePort", "nat/conntrack"},
	{33, "a UDP stream longer than its timeout", "TestCase33and34UDP", ""},
	{34, "an unanswered datagram", "TestCase33and34UDP", ""},
	{35, "echo, by its identifier", "TestCase35Echo", ""},
	{36, "a GRE tunnel", "TestCase36GRE", ""},
	{37, "an SCTP association", "TestCase37SCTP", ""},
	{38, "FTP, passive", "TestCase38FTPPassive", ""},
	{38, "FTP, active", "TestCase38and40FTPActive", ""},
	{38, "TFTP", "TestCase38TFTP", ""},
	{39, "SIP", "TestCase39SIP", ""},
	{40, "sequence numbers that are adjusted", "TestCase38and40FTPActive", ""},
	{41, "a related flow before its master", "TestCase41ChildBeforeMaster", ""},
	{42, "NAT66", "TestCase42NAT66", ""},
	{42, "networks one to one, over IPv6", "TestMappingsOutliveACrash", "appliance/e2e"},
	{43, "two zones with the same tuple", "TestCase43Zones", ""},
	{44, "policy by mark and label", "TestCase44MarksAndLabels", ""},
	{45, "fragments", "TestCase45Fragments", ""},
	{46, "a returner with a stale table", "TestReturnerWithAStaleTable", ""},
	{47, "two failovers in 2 s", "TestCase47DoubleFailover", "appliance/e2e"},
	{48, "hand-overs to and fro", "TestHandOverAndBack", ""},
	{48, "hand-overs leave nothing behind", "TestCase48HandOversDoNotGrow", ""},
	{49, "split brain with the same ports, and heal", "TestTermConflict", ""},
	{49, "split brain without a link, short and long, whoever goes on", "TestCase49SplitBrain", ""},
	{49, "the same of a pair under load", "TestCase49SplitBrainWithoutTheSessionLink", "appliance/e2e"},
	{49, "split brain of a pair under load, and heal", "TestSplitOfBothSegmentsHeals", "appliance/e2e"},
	{50, "not eligible until in sync, for 30 s at most", "TestCore", "appliance"},
	{50, "and until then a live one is left alone", "TestReturnWithoutTheSessionLinkWaits", "appliance/e2e"},
	{51, "a preemption while a full transfer runs", "TestCase51PreemptWhileABulkRuns", "appliance/e2e"},
	{52, "clocks that are set: on the wire", "TestCase52NoTimeOfDayOnTheWire", "nat/session"},
	{52, "clocks that are set: in the code", "TestCase52NoTimeOfDay", ""},
	{53, "a peer that is not who it should be", "TestWhoMayTalk", ""},
	{53, "keys of other names", "TestForgedCertificates", ""},
	{53, "a connection that comes back", "TestReflectedConnection", ""},
	{53, "a connection that is replayed", "TestReplayedConnection", ""},
	{53, "a session that is resumed", "TestNoResumedSession", ""},
	{53, "an old epoch", "TestTerms", "nat/session"},
	{54, "corrupted frames", "FuzzReceiver", "nat/session"},
	{54, "a corrupted journal", "FuzzJournal", "nat/session"},
	{54, "a journal cut at any byte", "TestCutAtEveryByte", "appliance/replica/journal"},
	{54, "a full disk", "TestCase54FullDiskAndTornTail", ""},
	{55, "frames of version N-1, to this version", "TestCase55ReceiverOfTheLastVersionsFrames", "nat/session"},
	{55, "frames of this version, to version N-1", "TestCase55SenderToTheLastVersion", "nat/session"},
	{55, "unknown attributes", "TestUnknownAttributes", "nat/session"},
	{56, "a peer with another configuration", "TestReconfigureTellsADifference", ""},
	{57, "rules that are loaded anew", "TestCase57RulesLoadedAnew", ""},
	{58, "interfaces with other names", "TestCase58OtherInterfaceNames", ""},
	{59, "a standby that lacks helper, label or NAT chain", "TestCase59StandbyIsNotReady", ""},
	{59, "the same of a standby that installs at a takeover", "TestCase59ColdStandbyIsNotReady", ""},
	{59, "what the kernel lacks is named", "TestCase59Probe", "nat/conntrack"},
	{60, "a full transfer of many sessions", "TestCase60ManySessions", ""},
	{61, "a transfer that is interrupted", "TestBothSidesAgreeAfterLossyReconnects", "nat/session"},
	{62, "an upgrade in place", "TestHealsWithinSeconds", "appliance/e2e"},
	{62, "an upgrade to another version", "TestUpgradeKeepsTheRole", "appliance/e2e"},
	{63, "of three nodes two are lost, then the owner", "TestCase63OwnerLostDuringTheTransferToTheThird", ""},
	{64, "for a long time; make soak", "TestCase64Soak", ""},
}

// untested are the cases that have no test, and why.
var untested = map[int]string{}

const allCases = 64

// TestCases: each case has its test, or a reason why it has none.
func TestCases(t *testing.T) {
	have := map[string]map[string]bool{}
	tested := map[int]bool{}
	for n, why := range untested {
		if n < 1 || n > allCases || why == "" {
			t.Errorf("case %d is without a test: %q", n, why)
		}
	}
	defer func() {
		for n := 1; n <= allCases; n++ {
			if _, without := untested[n]; tested[n] == without {
				t.Errorf("case %d: has a test: %v, is without: %v", n, tested[n], without)
			}
		}
	}()
	for _, c := range cases {
		tested[c.n] = true
		dir := "."
		if c.dir != "" {
			dir = filepath.Join("..", "..", c.dir)
		}
		if have[dir] == nil {
			have[dir] = testsIn(t, dir)
		}
		if !have[dir][c.test] {
			t.Errorf("case %d, %s: there is no %s in %s", c.n, c.what, c.test, dir)
		}
	}
}

// testsIn lists the tests of a package by name.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	names := map[string]bool{}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
