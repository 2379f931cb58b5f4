// headroom/tasks/desk_fixture_test.h - the desk, for the thread of a test.
#pragma once

#include <latch>
#include <memory>
#include <optional>
#include <type_traits>

#include "headroom/base/assert.h"
#include "headroom/tasks/desk.h"

namespace headroom::tasks {

// What the task `ask(desk)` answers, run on that worker.
template <class F>
auto at_desk(Engine& engine, net::Worker& worker, F ask) {
  using Answer = typename std::invoke_result_t<F&, Desk&>::value_type;
  std::optional<Answer> answer;
  std::unique_ptr<net::TaskGroup> group;
  std::latch done(1);
  auto task = [&]() -> net::Task<> {
    Desk desk(engine, *group);
    answer.emplace(co_await ask(desk));
    done.count_down();
  };
  worker.run_and_wait([&] {
    group = std::make_unique<net::TaskGroup>(worker);
    HR_ASSERT(group->spawn(task) == true);
  });
  done.wait();
  group->stop_and_join();
  worker.run_and_wait([&] { group.reset(); });
  return std::move(*answer);
}

}  // namespace headroom::tasks
