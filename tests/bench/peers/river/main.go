// River: each job is a row of Postgres, and so is what became of it.
package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"peers/tool"
)

const (
	batch       = 50
	connections = 24
)

type args struct {
	Job string `json:"job"`
	Pad string `json:"pad"`
}

func (args) Kind() string { return "bench" }

func argsOf(i int) args { return args{tool.Job(i), tool.Pad()} }

type worker struct {
	river.WorkerDefaults[args]
	ended func(args)
}

func (w *worker) Work(_ context.Context, job *river.Job[args]) error {
	w.ended(job.Args)
	return nil
}

func open(ctx context.Context, log *slog.Logger) *riverpgxv5.Driver {
	config, err := pgxpool.ParseConfig(tool.URL)
	tool.Must(err)
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	tool.Must(err)
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New[pgx.Tx](driver, &rivermigrate.Config{Logger: log})
	tool.Must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	tool.Must(err)
	return driver
}

func consume(ctx context.Context, driver *riverpgxv5.Driver, log *slog.Logger) {
	var done atomic.Int64
	all := make(chan struct{})
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{ended: func(a args) {
		tool.Began(a.Job)
		if done.Add(1) == int64(tool.Jobs) {
			close(all)
		}
	}})
	// Its defaults, 100 ms and 1 s, are meant to spare the database.
	client, err := river.NewClient(driver, &river.Config{Logger: log, Workers: workers, FetchCooldown: 2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: tool.Handlers()}}})
	tool.Must(err)
	tool.Told(func() {
		tool.Must(client.Start(ctx))
		<-all
		tool.Must(client.Stop(ctx)) // the last are settled
	})
}

func main() {
	tool.Parse()
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	driver := open(ctx, log)
	client, err := river.NewClient(driver, &river.Config{Logger: log})
	tool.Must(err)
	switch tool.Mode {
	case "enqueue":
		tool.Told(func() {
			tool.Each(1, batch, func(from, to int) {
				var many []river.InsertManyParams
				for i := from; i < to; i++ {
					many = append(many, river.InsertManyParams{Args: argsOf(i)})
				}
				_, err := client.InsertManyFast(ctx, many)
				tool.Must(err)
			})
		})
	case "produce":
		tool.Paced(func(i int) {
			_, err := client.Insert(ctx, argsOf(i), nil)
			tool.Must(err)
		})
	default:
		consume(ctx, driver, log)
	}
}
