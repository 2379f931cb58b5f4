// faktory-worker against FAKTORY_URL: pushes JOBS, `CONCURRENCY` at a time, then works on them. Arguments: the package's folder, jobs, concurrency.
import { createRequire } from "node:module";
import { each, report } from "./clock.mjs";
const require = createRequire(process.argv[2] + "/");
const faktory = require("faktory-worker");
const [jobs, concurrency] = process.argv.slice(3).map(Number);

const client = await faktory.connect({ poolSize: concurrency });
const filling = "x".repeat(100);
await report(jobs, async (clock) => {
  await each(jobs, concurrency, (n) => client.job("Nothing", n, filling).push());
  clock.pushed();
  let left = jobs;
  const seen = new Set();
  await new Promise((done) => {
    faktory.register("Nothing", async (n) => {
      seen.add(n);
      if (--left === 0) done();
    });
    faktory.work({ concurrency, queues: ["default"] });
  });
  return seen.size;
});
