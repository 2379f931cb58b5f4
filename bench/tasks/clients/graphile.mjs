// graphile-worker against the PostgreSQL of DATABASE_URL: as faktory.mjs. Arguments: the packages' folder, jobs, concurrency.
import { createRequire } from "node:module";
import { each, report } from "./clock.mjs";
const require = createRequire(process.argv[2] + "/");
const { makeWorkerUtils, run, Logger } = require("graphile-worker");
const [jobs, concurrency] = process.argv.slice(3).map(Number);

const connectionString = process.env.DATABASE_URL;
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ connectionString, logger, maxPoolSize: concurrency });
await utils.migrate();
const filling = "x".repeat(100);
await report(jobs, async (clock) => {
  await each(jobs, concurrency, (n) => utils.addJob("nothing", { n, filling }));
  clock.pushed();
  let left = jobs;
  const seen = new Set();
  await new Promise((done, failed) => {
    const nothing = async (payload) => {
      seen.add(payload.n);
      if (--left === 0) done();
    };
    run({ connectionString, logger, concurrency, maxPoolSize: concurrency + 1, taskList: { nothing } }).catch(failed);
  });
  return seen.size;
});
