// What the npm package `faktory-worker` does against the task server of FAKTORY_URL; prints one JSON object. Argument: the package's folder.
const path = require("path");
const faktory = require(path.join(process.argv[2], "node_modules/faktory-worker"));

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(question) {
  for (let tries = 0; tries < 1000; tries++) {
    if (await question()) return;
    await sleep(20);
  }
  throw new Error(`never: ${question}`);
}

async function main() {
  const seen = { done: [], urgent: [], failed: 0, later: 0 };
  const client = await faktory.connect();

  for (let n = 0; n < 50; n++) await client.job("Add", n, n).push();
  const bulk = Array.from({ length: 50 }, (_, n) => client.job("Add", n + 50, n + 50));
  const refusals = await client.pushBulk(bulk);
  const flaky = client.job("Flaky", 1);
  flaky.retry = 0;
  await flaky.push();
  const later = client.job("Later");
  later.at = new Date(Date.now() + 1500);
  await later.push();
  const queued = (await client.info()).faktory.queues.default;

  faktory.register("Add", async (a, b) => seen.done.push(a + b));
  faktory.register("Flaky", async () => {
    seen.failed++;
    throw new Error("as it must");
  });
  faktory.register("Later", async () => seen.later++);
  const worker = await faktory.work({ concurrency: 5, queues: ["default"] });
  await until(() => seen.done.length === 100 && seen.failed === 1 && seen.later === 1);
  await until(async () => (await client.info()).faktory.total_processed === 101);
  const info = (await client.info()).faktory;
  await client.retries.clear();
  await worker.stop();
  await client.close();
  console.log(JSON.stringify({ refusals: Object.keys(refusals).length, queued, distinct: new Set(seen.done).size, done: seen.done.length,
    failed: seen.failed, later: seen.later, processed: info.total_processed, failures: info.total_failures }));
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
