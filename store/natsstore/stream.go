package natsstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/store"
)

const (
	// metaFormat is where the stream says which version of this package has made it.
	metaFormat = "stay.format"
	formatMark = "1"

	// manyReplicas is how many replicas a stream in a cluster gets.
	manyReplicas = 3
)

// prepare opens the stream, or makes it, and finds out what it promises.
func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	s.api = apiOf(s.js.Options())
	var err error
	if s.answers, err = newAnswers(s.nc); err != nil {
		return unavailable(err)
	}
	var config jetstream.StreamConfig
	for try := 1; ; try++ {
		asking, cancel := context.WithTimeout(ctx, s.attempt)
		info, err := s.info(asking)
		cancel()
		if err == nil {
			config = info.Config
			break
		}
		// A cluster that has just started elects leaders first, and answers nothing.
		if s.denied.Load() != nil || !passing(err) || pause(ctx, tempo(try)) != nil {
			return s.refuse(err)
		}
	}
	if err := s.judge(config); err != nil {
		return err
	}
	s.replicas = config.Replicas
	room := s.nc.MaxPayload()
	if config.MaxMsgSize > 0 {
		room = min(room, int64(config.MaxMsgSize))
	}
	if room <= 2*besides {
		return fmt.Errorf("natsstore: messages have %d bytes at most (max_payload of the server, MaxMsgSize of the stream): more than %d are needed", room, 2*besides)
	}
	durable := config.Storage == jetstream.FileStorage && (s.synced || s.replicas >= manyReplicas)
	s.features = store.Features{Durable: durable, Groups: true, List: true, Watch: true, MaxValue: int(room - besides)}
	return s.rehearse(ctx)
}

// rehearse reads, and writes a batch that only checks, so that what the user may not
// do shows before a commit is in doubt because of it.
func (s *Store) rehearse(ctx context.Context) error {
	g := store.Group{{Op: store.Check, Key: "rehearsal of " + s.node}, {Op: store.Check, Key: "another of " + s.node}}
	_, err := s.load(ctx, keysOf(g))
	for try := 1; err == nil; try++ {
		attempt, cancel := context.WithTimeout(ctx, s.attempt)
		_, err = s.publish(attempt, s.messages(g, make([]uint64, len(g)), 0))
		cancel()
		if err == nil {
			return nil
		}
		if v := judged(err); s.denied.Load() == nil && (v == again || v == inDoubt && try < maxTries) {
			err = pause(ctx, tempo(try))
		}
	}
	return s.refuse(fmt.Errorf("a rehearsal: %w", err))
}

// apiOf is what the subjects of JetStream's requests begin with.
func apiOf(o jetstream.JetStreamOptions) string {
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// info returns the stream, and makes it if it is not there.
func (s *Store) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := s.js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = s.js.CreateStream(ctx, s.wanted())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody was faster
			stream, err = s.js.Stream(ctx, s.name)
		}
	}
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// wanted is the stream as this package makes it.
func (s *Store) wanted() jetstream.StreamConfig {
	replicas := s.replicas
	if replicas == 0 {
		replicas = 1
		if s.nc.ConnectedClusterName() != "" {
			replicas = manyReplicas
		}
	}
	return jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.name + ".>"}, Description: "Records of Stay",
		Storage: jetstream.FileStorage, Replicas: replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowAtomicPublish: true, AllowMsgTTL: true, AllowDirect: true, DenyDelete: true,
		Metadata: map[string]string{metaFormat: formatMark},
	}
}

// judge refuses a stream that would lose records, or lacks what a store needs.
func (s *Store) judge(c jetstream.StreamConfig) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("natsstore: the stream %q is not one for records: "+format, append([]any{s.name}, args...)...)
	}
	if mark := c.Metadata[metaFormat]; mark != formatMark {
		if mark != "" {
			return wrong("its format is %q, and this package knows %s: written by a newer version of this package, so use that one", mark, formatMark)
		}
		return wrong("its metadata have no %s=%s: choose another name, or let this package make the stream", metaFormat, formatMark)
	}
	for _, rule := range []struct {
		holds bool
		say   string
	}{
		{slices.Equal(c.Subjects, []string{s.name + ".>"}), fmt.Sprintf("its subjects are not %s.> alone", s.name)},
		{c.Mirror == nil && len(c.Sources) == 0, "it gets messages from other streams"},
		{c.SubjectTransform == nil, "it changes subjects (subject_transform)"},
		{c.Retention == jetstream.LimitsPolicy, "it deletes what was read: its retention must be limits"},
		{c.Discard == jetstream.DiscardNew && !c.DiscardNewPerSubject, "when it is full, it drops old records: discard must be new, and discard_new_per_subject must be off"},
		{c.MaxAge == 0, "it drops old records: max_age must be 0"},
		{c.MaxMsgsPerSubject == 1, "max_msgs_per_subject must be 1"},
		{c.AllowAtomicPublish, "allow_atomic must be on"},
		{c.AllowMsgTTL, "allow_msg_ttl must be on"},
		{c.SubjectDeleteMarkerTTL == 0, "subject_delete_marker_ttl must be 0"},
		{c.AllowDirect, "allow_direct must be on"},
		{!c.NoAck, "no_ack must be off"},
		{!c.Sealed, "it is sealed"},
		{!c.AllowMsgCounter, "allow_msg_counter must be off"},
		{c.PersistMode == jetstream.DefaultPersistMode, "its persist_mode must be default"},
	} {
		if !rule.holds {
			return wrong("%s", rule.say)
		}
	}
	if s.replicas != 0 && s.replicas != c.Replicas {
		return wrong("it has %d replicas, and %d are asked for: change it while no program runs", c.Replicas, s.replicas)
	}
	return nil
}

// refuse says why a stream cannot be opened.
func (s *Store) refuse(err error) error {
	if denied := s.denied.Load(); denied != nil {
		return fmt.Errorf("natsstore: the user lacks a right: %w", *denied)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.Code >= 400 && api.Code < 500 {
		return fmt.Errorf("natsstore: the stream %q cannot be made: %w", s.name, err)
	}
	return unavailable(fmt.Errorf("opening the stream: %w", err))
}

// passing reports whether an error of the servers goes by when a leader is there.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && temporary(int(api.ErrorCode))
}
