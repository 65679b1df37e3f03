package main

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"runtime"
	"sync"
)

const (
	// logSize is how long the file is made before anything is written: a sync that
	// has to note a new length takes two to four times as long.
	logSize = 16 << 20
	// recordSize is about that of a record of Stay for a counter.
	recordSize = 128
	// headSize is that of a batch's head: how many bytes follow, and their checksum.
	headSize = 8
	// maxWaiting bounds the records that wait to be written.
	maxWaiting = 4096
)

var (
	errFull   = errors.New("too many changes wait for the disk")
	errClosed = errors.New("the log is closed")
)

// A batchLog appends records to a file: all that wait, with one write and one sync.
type batchLog struct {
	file  *os.File
	ready chan struct{} // holds one signal: there are records. Closed by close
	ended chan struct{} // closed when run has ended

	mu   sync.Mutex
	next *batch // what has come since the last batch was taken
	err  error  // why nothing is taken any more
}

// A batch is the records of one sync.
type batch struct {
	data   []byte
	stored chan struct{} // closed when it is on the disk, or err says why not
	err    error         // read it once stored is closed
}

// openLog makes a log and starts to write what comes, until it is closed.
func openLog(path string) (*batchLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < logSize && err == nil; at += int64(len(zeros)) {
		_, err = file.WriteAt(zeros, at)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	l := &batchLog{file: file, ready: make(chan struct{}, 1), ended: make(chan struct{}), next: newBatch(nil)}
	go l.run()
	return l, nil
}

func newBatch(buffer []byte) *batch {
	return &batch{data: append(buffer[:0], make([]byte, headSize)...), stored: make(chan struct{})}
}

// add queues a record and returns the batch that it is part of.
func (l *batchLog) add(id string, n int) (*batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	b := l.next
	if len(b.data) >= headSize+maxWaiting*recordSize {
		return nil, errFull
	}
	var record [recordSize]byte
	binary.LittleEndian.PutUint64(record[:], uint64(n))
	copy(record[8:], id)
	b.data = append(b.data, record[:]...)
	select {
	case l.ready <- struct{}{}:
	default: // it knows
	}
	return b, nil
}

// wait returns once the batch is on the disk, or cannot get there, or ctx has ended;
// the batch may still be stored then.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.stored:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes what comes. After an error nothing more is written: nobody knows what the
// disk has.
func (l *batchLog) run() {
	defer close(l.ended)
	var (
		at     int64
		buffer []byte
		failed error
	)
	for range l.ready {
		for b := l.take(buffer); b != nil; b = l.take(buffer) {
			if at+int64(len(b.data)) > logSize {
				at = 0
			}
			if failed == nil {
				failed = l.store(b.data, at)
			}
			if failed != nil {
				l.refuse(failed)
			}
			b.err = failed
			close(b.stored)
			at += int64(len(b.data))
			buffer = b.data
		}
	}
}

// take returns the batch to store, nil if nobody waits, and begins another one in a
// buffer that is not used any more.
func (l *batchLog) take(buffer []byte) *batch {
	// Handlers that could run now would add to the next batch and wait for a second
	// sync. They go first, for as long as that brings more.
	seen := headSize
	for n := l.waiting(); n != seen; n = l.waiting() {
		seen = n
		runtime.Gosched()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.next
	if len(b.data) == headSize {
		return nil
	}
	l.next = newBatch(buffer)
	return b
}

// waiting returns how long the next batch is by now.
func (l *batchLog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.next.data)
}

func (l *batchLog) store(data []byte, at int64) error {
	binary.LittleEndian.PutUint32(data, uint32(len(data)-headSize))
	binary.LittleEndian.PutUint32(data[4:], crc32.ChecksumIEEE(data[headSize:]))
	if _, err := l.file.WriteAt(data, at); err != nil {
		return err
	}
	return datasync(l.file)
}

// refuse has nothing more added.
func (l *batchLog) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// close stores what waits, and closes the file. It is called once.
func (l *batchLog) close(ctx context.Context) error {
	l.refuse(errClosed)
	close(l.ready)
	select {
	case <-l.ended:
		return l.file.Close()
	case <-ctx.Done():
		return ctx.Err() // the file stays open: it is being written
	}
}
