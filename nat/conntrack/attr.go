package conntrack

// Numbers of linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h and netlink.h.

// Netlink message header: length, type, flags, sequence, port id; then the
// netfilter header: family, version, resource id.
const (
	nlHeaderLen = 16
	nfHeaderLen = 4
	headerLen   = nlHeaderLen + nfHeaderLen
	attrHeader  = 4
)

// Message types: the netfilter subsystem in the high byte.
const (
	subsysConntrack = 1

	msgNew    = subsysConntrack << 8 // IPCTNL_MSG_CT_NEW (0)
	msgGet    = subsysConntrack<<8 | 1
	msgDelete = subsysConntrack<<8 | 2

	msgError = 2 // NLMSG_ERROR
	msgDone  = 3 // NLMSG_DONE
)

// Message flags.
const (
	flagRequest = 0x0001
	flagMulti   = 0x0002
	flagAck     = 0x0004
	flagEcho    = 0x0008
	flagIntr    = 0x0010 // NLM_F_DUMP_INTR
	flagDump    = 0x0300
	flagReplace = 0x0100
	flagExcl    = 0x0200
	flagCreate  = 0x0400
)

// attrTypeMask removes NLA_F_NESTED and NLA_F_NET_BYTEORDER from a type.
const (
	attrTypeMask = 0x3fff
	attrNested   = 0x8000
)

// enum ctattr_type.
const (
	ctaTupleOrig   = 1
	ctaTupleReply  = 2
	ctaStatus      = 3
	ctaProtoInfo   = 4
	ctaHelp        = 5
	ctaNATSrc      = 6
	ctaTimeout     = 7
	ctaMark        = 8
	ctaID          = 12
	ctaNATDst      = 13
	ctaTupleMaster = 14
	ctaSeqAdjOrig  = 15
	ctaSeqAdjReply = 16
	ctaZone        = 18
	ctaMarkMask    = 21
	ctaLabels      = 22
	ctaFilter      = 25
	ctaStatusMask  = 26
)

// enum ctattr_tuple, ctattr_ip, ctattr_l4proto.
const (
	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaTupleZone  = 3

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum        = 1
	ctaProtoSrcPort    = 2
	ctaProtoDstPort    = 3
	ctaProtoICMPID     = 4
	ctaProtoICMPType   = 5
	ctaProtoICMPCode   = 6
	ctaProtoICMPv6ID   = 7
	ctaProtoICMPv6Type = 8
	ctaProtoICMPv6Code = 9
)

// enum ctattr_help.
const ctaHelpName = 1

// enum ctattr_protoinfo and the nested TCP and SCTP ones.
const (
	ctaProtoInfoTCP  = 1
	ctaProtoInfoSCTP = 3

	ctaTCPState       = 1
	ctaTCPWScaleOrig  = 2
	ctaTCPWScaleReply = 3
	ctaTCPFlagsOrig   = 4
	ctaTCPFlagsReply  = 5

	ctaSCTPState     = 1
	ctaSCTPVTagOrig  = 2
	ctaSCTPVTagReply = 3
)

// enum ctattr_nat, ctattr_protonat, ctattr_seqadj, ctattr_filter.
const (
	ctaNATv4MinIP = 1
	ctaNATv4MaxIP = 2
	ctaNATProto   = 3
	ctaNATv6MinIP = 4
	ctaNATv6MaxIP = 5

	ctaProtoNATPortMin = 1
	ctaProtoNATPortMax = 2

	ctaSeqAdjCorrectionPos = 1
	ctaSeqAdjOffsetBefore  = 2
	ctaSeqAdjOffsetAfter   = 3

	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2
	filterIPSrc         = 1 << 0
	filterIPDst         = 1 << 1
)

// IP protocol numbers whose tuple has more than addresses.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// Address families as the kernel numbers them.
const (
	afInet  = 2
	afInet6 = 10
)
