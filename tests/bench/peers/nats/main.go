// NATS JetStream: a work queue with file storage, each message acknowledged by itself.
package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"peers/tool"
)

const (
	batch    = 50  // published, then awaited
	prefetch = 500 // the client's default
)

func consume(stream jetstream.Stream) {
	ctx := context.Background()
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "bench", AckPolicy: jetstream.AckExplicitPolicy,
		MaxAckPending: 10000})
	tool.Must(err)
	var done atomic.Int64
	all := make(chan struct{})
	messages := make(chan jetstream.Msg, prefetch)
	for range tool.Handlers() {
		go func() {
			for message := range messages {
				tool.Began(tool.JobOf(message.Data()))
				tool.Must(message.Ack())
				if done.Add(1) == int64(tool.Jobs) {
					close(all)
				}
			}
		}()
	}
	tool.Told(func() {
		_, err := consumer.Consume(func(message jetstream.Msg) { messages <- message }, jetstream.PullMaxMessages(prefetch))
		tool.Must(err)
		<-all
		for { // the last are settled
			info, err := consumer.Info(ctx)
			tool.Must(err)
			if info.NumAckPending == 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func main() {
	tool.Parse()
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", tool.Port))
	tool.Must(err)
	js, err := jetstream.New(connection)
	tool.Must(err)
	stream, err := js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{Name: "bench", Subjects: []string{"bench"},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage})
	tool.Must(err)
	publish := func(i int) jetstream.PubAckFuture {
		published, err := js.PublishAsync("bench", tool.Payload(i))
		tool.Must(err)
		return published
	}
	await := func(published jetstream.PubAckFuture) {
		select {
		case <-published.Ok():
		case err := <-published.Err():
			tool.Must(err)
		}
	}
	switch tool.Mode {
	case "enqueue":
		tool.Told(func() {
			tool.Each(1, batch, func(from, to int) {
				var sent []jetstream.PubAckFuture
				for i := from; i < to; i++ {
					sent = append(sent, publish(i))
				}
				for _, published := range sent {
					await(published)
				}
			})
		})
	case "produce":
		tool.Paced(func(i int) { await(publish(i)) })
	default:
		consume(stream)
	}
}
