// headroom/net/task.h - Task<T>: the coroutine type of every room, and how its waits are written.
//
// A Task runs on one worker. Nothing in it throws over a wait: operations answer with codes or Result. `co_await` takes names: build
// the argument on the line above. A task is spawned into a TaskGroup (task_group.h) by its callable and takes values.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>

namespace headroom::net {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;

template <class T = void>
using Task = asio::awaitable<T, Executor>;

// The completion token of every Asio wait: a tuple with the error code, no exception, no extra coroutine frame.
inline constexpr auto kToken = asio::as_tuple_t<asio::deferred_t>(asio::deferred_t{});

}  // namespace headroom::net
