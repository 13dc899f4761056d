// BullMQ: each job is a hash and an entry of a list in Redis, taken and ended by a script each.
import { writeSync } from 'node:fs';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Queue, Worker } from 'bullmq';

const BATCH = 50;
const JOB_BYTES = 36;
const pad = 'x'.repeat(256 - '{"job":"","pad":""}'.length - JOB_BYTES);
const ended = { removeOnComplete: true, removeOnFail: true };

const text = { type: 'string' };
const { values: options, positionals } = parseArgs({
  options: { jobs: text, rate: text, port: text, user: text, password: text }, allowPositionals: true,
});
const mode = positionals[0];
const concurrency = mode === 'work' ? 10 : 100;
const jobs = Number(options.jobs);
const connection = {
  host: '127.0.0.1', port: Number(options.port), username: options.user, password: options.password, maxRetriesPerRequest: null,
};
const name = (i) => String(i).padStart(JOB_BYTES, '0');
const payload = (i) => ({ job: name(i), pad });
const milliseconds = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Says that all is ready; once there is a line on standard input it does the work and says so, and it ends with the input.
async function told(work) {
  const over = once(process.stdin, 'end'); // it may come while the work goes on
  writeSync(1, 'ready\n');
  await once(process.stdin, 'data');
  await work();
  writeSync(1, 'done\n');
  await over;
}

async function enqueue(queue) {
  for (let from = 0; from < jobs; from += BATCH) {
    const many = [];
    for (let i = from; i < Math.min(from + BATCH, jobs); i++) many.push({ name: 'bench', data: payload(i), opts: ended });
    await queue.addBulk(many);
  }
}

// Each job at its time (timers are of whole milliseconds), whether or not the ones before are answered.
async function produce(queue) {
  const rate = Number(options.rate);
  const start = performance.now() + 200;
  const due = (i) => start + (i * 1000) / rate;
  const sent = [];
  while (sent.length < jobs) {
    while (sent.length < jobs && due(sent.length) <= performance.now()) sent.push(queue.add('bench', payload(sent.length), ended));
    await milliseconds(1);
  }
  await Promise.all(sent);
  const lines = sent.map((_, i) => `${Math.round((performance.timeOrigin + due(i)) * 1000)} ${name(i)}\n`);
  writeSync(1, lines.join(''));
}

async function consume(queue) {
  let left = jobs;
  let last;
  const all = new Promise((resolve) => { last = resolve; });
  const handler = async (job) => {
    if (mode === 'work') writeSync(2, `{"job":"${job.data.job}"}\n`);
    if (--left === 0) last();
  };
  const worker = new Worker('bench', handler, { connection, concurrency, autorun: false });
  await worker.waitUntilReady();
  await told(async () => {
    void worker.run();
    await all;
    while ((await queue.getActiveCount()) > 0) await milliseconds(1); // the last are settled
  });
}

const queue = new Queue('bench', { connection });
await queue.waitUntilReady();
if (mode === 'enqueue') await told(() => enqueue(queue));
else if (mode === 'produce') await produce(queue);
else await consume(queue);
process.exit(0);
