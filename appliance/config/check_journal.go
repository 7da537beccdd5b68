package config

import (
	"path/filepath"
	"strings"
)

// checkJournal reads what is kept on disk.
func (c *checker) checkJournal(raw *rawSessions, s *Sessions) {
	def := c.defaults.Sessions
	s.Journal = known(c, "sessions.journal", raw.Journal, def.Journal, []Journal{JournalAuto, JournalAlways, JournalOff})
	s.JournalDir = or(raw.JournalDir, def.JournalDir)
	const path = "sessions.journal_dir"
	switch dir := s.JournalDir; {
	case !filepath.IsAbs(dir) || strings.ContainsRune(dir, 0):
		c.add(path, quote(dir)+" is not an absolute path", "write it like "+quote(def.JournalDir))
	case filepath.Clean(dir) == "/":
		c.add(path, quote(dir)+" is everybody's", "write a directory that nothing else uses, like "+quote(def.JournalDir))
	}
}
