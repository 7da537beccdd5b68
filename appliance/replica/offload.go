package replica

// setOffloaded notes how many flows of ours a dump has seen in flowtables. Held: e.mu.
func (e *Engine) setOffloaded(n int) {
	if n > 0 && e.offloaded == 0 {
		e.log.Warn("flows in flowtables are not protected: the kernel does not tell what becomes of them", "flows", n)
	}
	e.offloaded = n
}
