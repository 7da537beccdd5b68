package replica_test

import (
	"understudy/appliance/replica"
	"understudy/nat/conntrack"
)

type sessionView = replica.Session

var updateTimeout = conntrack.UpdateOptions{Fields: conntrack.UpdateTimeout}

var updateAll = conntrack.UpdateOptions{}
