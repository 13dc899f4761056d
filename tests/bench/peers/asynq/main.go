// Asynq: each task is a hash and an entry of a list in Redis, taken and ended by a script each.
package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"peers/tool"
)

const producers = 16 // there is no call for many tasks

func consume(redis asynq.RedisClientOpt) {
	var done atomic.Int64
	all := make(chan struct{})
	server := asynq.NewServer(redis, asynq.Config{Concurrency: tool.Handlers(), LogLevel: asynq.ErrorLevel})
	handler := func(_ context.Context, task *asynq.Task) error {
		tool.Began(tool.JobOf(task.Payload()))
		if done.Add(1) == int64(tool.Jobs) {
			close(all)
		}
		return nil
	}
	inspector := asynq.NewInspector(redis)
	tool.Told(func() {
		tool.Must(server.Start(asynq.HandlerFunc(handler)))
		<-all
		for { // the last are settled
			queue, err := inspector.GetQueueInfo("default")
			tool.Must(err)
			if queue.Active == 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func main() {
	tool.Parse()
	redis := asynq.RedisClientOpt{Addr: fmt.Sprintf("127.0.0.1:%d", tool.Port), Username: tool.User, Password: tool.Password,
		PoolSize: tool.Handlers() + 10}
	client := asynq.NewClient(redis)
	send := func(i int) {
		_, err := client.Enqueue(asynq.NewTask("bench", tool.Payload(i)))
		tool.Must(err)
	}
	tool.Must(client.Ping())
	switch tool.Mode {
	case "enqueue":
		tool.Told(func() { tool.Each(producers, 1, func(from, _ int) { send(from) }) })
	case "produce":
		tool.Paced(send)
	default:
		consume(redis)
	}
}
