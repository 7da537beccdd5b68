// Package trend remembers how a node's sessions stood over time, in a bounded number of
// samples: the last ten minutes finely, the last day coarsely.
//
//	Sample each 2 s ──▶ fine (300) ──folded by the minute──▶ coarse (1440)
//
// What is looked for is what went wrong, so a minute is as bad as the worst of it: the
// longest lag, the most that was not told, not in sync if it was not at any moment. The
// package is pure.
package trend
