// Package tool is what the peers in Go share: the command line, the payload, and how a program is told to begin.
package tool

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const jobBytes, payloadBytes = 36, 256

var (
	Mode                string
	Jobs, Rate          int
	Port                int
	User, Password, URL string
	head, middle, tail  = `{"job":"`, `","pad":"`, `"}`
	pad                 = strings.Repeat("x", payloadBytes-jobBytes-len(head)-len(middle)-len(tail))
)

// Parse reads enqueue|consume|work|produce and its options.
func Parse() {
	flag.IntVar(&Jobs, "jobs", 1000, "how many")
	flag.IntVar(&Rate, "rate", 1000, "of produce, a second")
	flag.IntVar(&Port, "port", 0, "of the server, on loopback")
	flag.StringVar(&User, "user", "", "at the server")
	flag.StringVar(&Password, "password", "", "of the user")
	flag.StringVar(&URL, "url", "", "of the database")
	if len(os.Args) < 2 {
		Must(fmt.Errorf("enqueue, consume, work or produce"))
	}
	Mode = os.Args[1]
	_ = flag.CommandLine.Parse(os.Args[2:])
}

// Handlers says how many handlers run at once.
func Handlers() int {
	if Mode == "work" {
		return 10
	}
	return 100
}

func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func Job(i int) string { return fmt.Sprintf("%0*d", jobBytes, i) }

// Pad makes the payload of a job 256 bytes.
func Pad() string { return pad }

func Payload(i int) []byte { return []byte(head + Job(i) + middle + pad + tail) }

func JobOf(payload []byte) string { return string(payload[len(head) : len(head)+jobBytes]) }

// Began says on standard error that the handler of a job has run; for mode work.
func Began(job string) {
	if Mode == "work" {
		_, err := os.Stderr.WriteString(`{"job":"` + job + "\"}\n")
		Must(err)
	}
}

// Told says that all is ready; once there is a line on standard input it does the work and says so, and it ends with the input.
func Told(work func()) {
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	_, err := in.ReadString('\n')
	Must(err)
	work()
	fmt.Println("done")
	_, _ = in.ReadString('\n')
	os.Exit(0)
}

// Each takes the numbers from 0 to Jobs, step at a time, over so many lanes at once.
func Each(lanes, step int, send func(from, to int)) {
	work := make(chan int)
	var all sync.WaitGroup
	for range lanes {
		all.Go(func() {
			for from := range work {
				send(from, min(from+step, Jobs))
			}
		})
	}
	for from := 0; from < Jobs; from += step {
		work <- from
	}
	close(work)
	all.Wait()
}

// Paced sends each job at its time, whether or not the ones before are answered, and prints when that was to be.
func Paced(send func(i int)) {
	at := make([]time.Time, Jobs)
	start := time.Now().Add(200 * time.Millisecond)
	var all sync.WaitGroup
	for i := range Jobs {
		at[i] = start.Add(time.Duration(i) * time.Second / time.Duration(Rate))
		time.Sleep(time.Until(at[i]))
		all.Go(func() { send(i) })
	}
	all.Wait()
	out := bufio.NewWriter(os.Stdout)
	for i := range Jobs {
		fmt.Fprintln(out, at[i].UnixMicro(), Job(i))
	}
	Must(out.Flush())
}
