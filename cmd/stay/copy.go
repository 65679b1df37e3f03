package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stay-go/stay/store"
)

func newCopy() *cobra.Command {
	var from, to string
	var dryRun bool
	c := &cobra.Command{
		Use:   "copy --from STORE --to STORE",
		Short: "Copy every record of a store into another one",
		Long: "Copy every record of a store into another one, which has to be empty, or to have an earlier copy of the same records.\n\n" +
			"Stop all programs that use the stores first. Nothing is overwritten and nothing is deleted. " +
			"When the command was interrupted, run it again: it goes on where it was.\n\n" + storeHelp,
		Example: "  stay copy --from sqlite:app.db --to postgres://app@db.example.com/app?sslmode=verify-full",
		Args:    arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if from == "" || to == "" {
				return &usageError{fmt.Errorf("missing flags: %s", c.UseLine())}
			}
			return copyStore(c.Context(), from, to, dryRun, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&from, "from", "", "the `STORE` to copy")
	c.Flags().StringVar(&to, "to", "", "the `STORE` to copy to")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "compare the stores and write no records")
	return c
}

// copyStore copies the store and says what was done.
func copyStore(ctx context.Context, source, target string, dryRun bool, stdout, stderr io.Writer) (err error) {
	from, err := openSource(ctx, source)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openTarget(ctx, target, dryRun)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()

	bar := newProgress(stderr)
	count, err := store.Copy(ctx, from, to, store.CopyOptions{DryRun: dryRun, Progress: bar.show})
	bar.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted after %s of %d; run the same command again to go on", records(count.Copied), count.Missing)
	case err != nil:
		return err
	case count.Records == 0:
		return errors.New("the source has no records: is it the right store?")
	}
	return report(stdout, count, dryRun)
}

// report says what was done.
func report(w io.Writer, count store.CopyCount, dryRun bool) (err error) {
	size := humanize.Bytes(uint64(count.Bytes)) //nolint:gosec // never negative
	switch there := count.Records - count.Missing; {
	case dryRun:
		_, err = fmt.Fprintf(w, "%s, %s; %d there already, %d to copy; nothing was written\n", records(count.Records), size, there, count.Missing)
	default:
		_, err = fmt.Fprintf(w, "%s, %s; %d there already, %d copied; all verified\n", records(count.Records), size, there, count.Copied)
	}
	return err
}

func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// A progress is a bar for each pass of the copy, shown only on a terminal.
type progress struct {
	w    io.Writer // nil if nobody watches
	pass string
	bar  *progressbar.ProgressBar
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor is small
		return &progress{w: w}
	}
	return &progress{}
}

// show shows how far the copy is.
func (p *progress) show(c store.CopyCount) {
	switch {
	case p.w == nil:
	case c.Verified > 0:
		p.set("verify", c.Verified, c.Records)
	case c.Copied > 0:
		p.set("copy", c.Copied, c.Missing)
	default:
		p.set("compare", c.Records, -1) // nobody knows yet how many there are
	}
}

func (p *progress) set(pass string, done, all int) {
	if p.pass != pass {
		p.end()
		p.pass = pass
		p.bar = progressbar.NewOptions(all, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(fmt.Sprintf("%-7s", pass)),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100e6))
	}
	_ = p.bar.Set(done)
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
