// The npm package `faktory-worker` as the worker of the sample app's reminders; prints the number of each booking. Argument: the package's folder.
const path = require("path");
const faktory = require(path.join(process.argv[2], "node_modules/faktory-worker"));

faktory.register("SendReminder", async (booking) => console.log(booking));
faktory.work({ concurrency: 2, queues: ["reminders"] }).catch((error) => {
  console.error(error);
  process.exit(1);
});
