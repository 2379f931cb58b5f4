// headroom/server/tasks_desk.h - how an endpoint of the admin API reaches the task server's desk. Private to server's own files.
#pragma once

#include <utility>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"
#include "headroom/tasks/desk.h"
#include "headroom/tasks/tasks.h"

namespace headroom::server {

// Calls `answer(desk, exchange, call)`, a task, while the task server runs.
template <class F>
auto with_desk(const Sources& sources, F answer) {
  return [&sources, answer](http::Exchange& exchange, const Call& call) -> net::Task<http::Reply> {
    tasks::Tasks* room = sources.tasks ? sources.tasks() : nullptr;
    if (room == nullptr)
      co_return refused_as_not_configured("the task server is off (tasks.enabled)");
    tasks::Engine* engine = room->engine();
    if (engine == nullptr)
      co_return error_reply({Errc::unavailable, "the job store cannot be opened now"});
    tasks::Desk desk(*engine, exchange.group());
    co_return co_await answer(desk, exchange, call);
  };
}

}  // namespace headroom::server
