package daemon

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	name := fmt.Sprintf("@understudy-test-%d", os.Getpid())
	unlock, err := lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(name); !errors.Is(err, ErrRunning) {
		t.Fatalf("a second holder: %v, want ErrRunning", err)
	}
	// A holder whose end is not complete yet is waited for.
	time.AfterFunc(50*time.Millisecond, unlock)
	again, err := lock(name)
	if err != nil {
		t.Fatalf("after the holder's end: %v", err)
	}
	again()
}
