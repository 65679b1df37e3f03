package pgserver

import (
	"context"
	"fmt"
	"path/filepath"
)

// Standby makes a standby of the server in an empty folder and starts it.
func (s *Server) Standby(dir string, settings ...string) (*Server, error) {
	b := &Server{bin: s.bin, uid: s.uid, gid: s.gid, data: filepath.Join(dir, "data"), settings: settings}
	if err := b.Own(dir); err != nil {
		return nil, err
	}
	primary := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres sslmode=disable", s.port)
	if _, err := s.run(context.Background(), "pg_basebackup", "-D", b.data, "-d", primary, "-R", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	return b, b.Start()
}

// AwaitStandby has every commit wait for a standby from now on. It returns when
// there is one.
func (s *Server) AwaitStandby(ctx context.Context) error {
	return s.configure(ctx, "synchronous_standby_names = '*'", "EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
}

// CatchUp waits until a standby has everything that its primary has now.
func (s *Server) CatchUp(ctx context.Context, primary *Server) error {
	written, err := primary.Ask(ctx, "SELECT pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	return s.Until(ctx, "pg_last_wal_replay_lsn() >= '"+written+"'")
}

// Detach parts a standby from its primary: it misses what is written from now on.
func (s *Server) Detach(ctx context.Context) error {
	return s.configure(ctx, "primary_conninfo = ''", "NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
}

// Promote makes a standby a primary.
func (s *Server) Promote(ctx context.Context) error {
	done, err := s.Ask(ctx, "SELECT pg_promote()")
	if err == nil && done != "t" {
		err = fmt.Errorf("the standby was not promoted: %s", &s.log)
	}
	return err
}

// configure changes a setting and waits until that shows.
func (s *Server) configure(ctx context.Context, setting, shows string) error {
	for _, statement := range []string{"ALTER SYSTEM SET " + setting, "SELECT pg_reload_conf()"} {
		if err := s.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return s.Until(ctx, shows)
}
