// bullmq against Redis on 127.0.0.1:PORT: as faktory.mjs. Arguments: the packages' folder, jobs, concurrency, port.
import { createRequire } from "node:module";
import { each, report } from "./clock.mjs";
const require = createRequire(process.argv[2] + "/");
const { Queue, Worker } = require("bullmq");
const [jobs, concurrency, port] = process.argv.slice(3).map(Number);

const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true } });
await queue.waitUntilReady();
const filling = "x".repeat(100);
await report(jobs, async (clock) => {
  await each(jobs, concurrency, (n) => queue.add("Nothing", { n, filling }));
  clock.pushed();
  let left = jobs;
  const seen = new Set();
  await new Promise((done) => {
    new Worker("bench", async (job) => {
      seen.add(job.data.n);
      if (--left === 0) done();
    }, { connection, concurrency });
  });
  return seen.size;
});
