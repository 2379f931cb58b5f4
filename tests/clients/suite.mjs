// The smallest runner there is: tests one after the other, a line for each, and an end that waits for nobody's timers (node --test does).
const tests = []

export function test(name, run) {
  tests.push({ name, run })
}

// At the end of a suite's file.
export async function run(finish = () => {}) {
  let failed = 0
  for (const { name, run } of tests) {
    try {
      await run()
      console.log(`ok ${name}`)
    } catch (error) {
      failed++
      console.log(`not ok ${name}\n${error.stack ?? error}`)
    }
  }
  await finish()
  console.log(`passed ${tests.length - failed} of ${tests.length}`)
  process.exit(failed === 0 ? 0 : 1)
}
