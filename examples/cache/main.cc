// A program of one's own on Headroom's cache: a hundred tasks want a value that takes 100 ms to compute; it is computed once.
//
//   cmake --install build/release --prefix /opt/headroom
//   cmake -S examples/cache -B /tmp/example -DCMAKE_PREFIX_PATH=/opt/headroom -DCMAKE_CXX_COMPILER=clang++-19
//   cmake --build /tmp/example && /tmp/example/cache_example
#include <atomic>
#include <cstdio>
#include <latch>

#include "headroom/base/metrics.h"
#include "headroom/cache/cache.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

namespace cache = headroom::cache;
namespace net = headroom::net;
using headroom::Result;
using namespace std::chrono_literals;

namespace {

std::atomic<int> computed{0};

net::Task<Result<cache::Loaded>> compute(net::TaskGroup& group) {
  ++computed;
  if (auto slept = co_await net::sleep(group, 100ms); !slept) co_return headroom::pass(slept);
  cache::Loaded loaded;
  loaded.value = "forty-two";
  co_return loaded;
}

net::Task<> ask(cache::Cache& values, net::TaskGroup& group, std::latch& done) {
  cache::Storing how{.cls = "statistics", .tags = {"answers"}};
  auto value = co_await values.get_or_compute(group, "answer", how, compute);
  if (!value || value->bytes() != "forty-two") std::puts("something is wrong");
  done.count_down();
}

}  // namespace

int main() {
  constexpr int kTasks = 100;
  net::Workers workers(2);
  headroom::metrics::Registry registry(workers.size());
  cache::Cache values(workers, registry, cache::cache_section().defaults());
  workers.start();
  net::TaskGroup first(workers[0]);
  net::TaskGroup second(workers[1]);
  std::latch done(kTasks);
  for (int i = 0; i < kTasks; ++i) {
    net::TaskGroup& group = i % 2 == 0 ? first : second;
    group.worker().post([&values, &group, &done] {
      if (!group.spawn([&values, &group, &done] { return ask(values, group, done); }))
        done.count_down();
    });
  }
  done.wait();
  std::printf("%d tasks, computed %d time\n", kTasks, computed.load());
  values.invalidate_tag("answers");  // from now on it is computed anew
  first.stop_and_join();
  second.stop_and_join();
  values.stop();
  workers.stop_and_join();
}
