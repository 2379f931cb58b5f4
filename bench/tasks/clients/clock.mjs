// What the application benchmarks share: so many at once, and how long each half took.

// act(n) for n from 0 to count - 1, `atOnce` at a time.
export async function each(count, atOnce, act) {
  let next = 0;
  const lane = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

// Prints one JSON object and ends the process. `bench` gives how many different jobs it saw.
export async function report(jobs, bench) {
  const began = performance.now();
  let pushed = began;
  const clock = { pushed: () => { pushed = performance.now(); } };
  try {
    const seen = await bench(clock);
    const done = performance.now();
    console.log(JSON.stringify({ jobs, seen, pushed_per_s: (jobs / (pushed - began)) * 1000, worked_per_s: (jobs / (done - pushed)) * 1000 }));
    process.exit(seen === jobs ? 0 : 3);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
