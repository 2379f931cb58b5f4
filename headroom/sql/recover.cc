// What becomes of a server connection whose client has gone: its query is cancelled, its transaction rolled back, and it is kept.
#include "headroom/base/log.h"
#include "headroom/sql/session.h"

namespace headroom::sql {
namespace {

constexpr Duration kRecovery = 5s;

// Reads answers until `owed` ReadyForQuery have come; the status of the last one.
net::Task<Result<pgwire::Status>> read_owed(postgres::Server& server, net::Worker& worker,
                                            std::string_view begun, std::uint64_t skip,
                                            unsigned owed) {
  net::Buffer in(worker.buffers());
  in.append(begun);
  auto status = pgwire::Status::idle;
  while (owed > 0 || skip > 0 || !in.empty()) {
    pgwire::Frame frame;
    const std::size_t skipped = std::min<std::uint64_t>(skip, in.size());
    in.consume(skipped);
    skip -= skipped;
    const pgwire::Found found =
        skip > 0 ? pgwire::Found::need_more : pgwire::find_frame(in.data(), frame);
    if (found == pgwire::Found::bad) co_return fail(Errc::protocol, "impossible length");
    if (found == pgwire::Found::frame && frame.type == pgwire::from_server::kReady &&
        in.size() >= frame.size) {
      const auto said = pgwire::parse_ready(in.data().substr(pgwire::kHeader, frame.body()));
      if (!said || owed == 0) co_return fail(Errc::protocol, "ReadyForQuery out of order");
      status = *said;
      --owed;
    }
    if (found == pgwire::Found::frame && frame.type == pgwire::from_server::kCopyIn)
      co_return fail(Errc::protocol, "it waits for the data of a COPY");
    if (found == pgwire::Found::frame &&
        (frame.type != pgwire::from_server::kReady || in.size() >= frame.size)) {
      skip = frame.size;
      continue;
    }
    if (owed == 0 && in.empty()) break;
    auto read = co_await server.stream->read_into(in, 4096);
    if (!read) co_return pass(read);
    if (*read == 0) co_return fail(Errc::unavailable, "closed");
  }
  co_return status;
}

// Ends an exchange without its Sync, as a server does whose client goes: by a Sync alone it would be committed.
const std::string& undone() {
  static const std::string kMessages = [] {
    namespace from_client = pgwire::from_client;
    std::string out;
    pgwire::append_parse(out, "", "ROLLBACK", std::string_view("\0\0", 2));
    pgwire::Message(out, from_client::kBind).text("").text("").u16(0).u16(0).u16(0);
    pgwire::Message(out, from_client::kExecute).text("").u32(0);
    pgwire::append_empty(out, from_client::kSync);
    return out;
  }();
  return kMessages;
}

}  // namespace

// Only what is whole can be put right: a frame half sent to the server, or a COPY, leaves nothing to do but to close it.
void Session::abandon(Cancel cancel) {
  postgres::Pool& pool = pool_here();
  const bool open_ended = unsynced_ || (outstanding() > 0 && !expected_.back().ends_by_ready());
  detach();
  const bool broken = in_left_ > 0 || ready_ > 0 || !to_server_.empty() || copying_in_ || dirty_ ||
                      fatal_seen_ || discarding_;
  if (broken) return pool.close(worker(), std::move(server_));
  unsigned owed = 0;
  for (std::size_t i = first_; i < expected_.size(); ++i)
    owed += expected_[i].ends_by_ready() ? 1 : 0;
  bool untouched = pins_ == 0 && !touched_.any();
  for (std::size_t i = first_; i < expected_.size(); ++i)
    untouched =
        untouched && expected_[i].action == Expected::Action::pass && !expected_[i].statement;
  if (owed == 0 && !open_ended && status_ == pgwire::Status::idle && untouched &&
      back_.size() == back_ready_)
    return pool.give(worker(), std::move(server_));
  postgres::Server& server = *server_;
  if (open_ended) {
    net::Gather data;
    data.add(undone());
    const auto sent = server.stream->try_write(data);
    if (!sent || !*sent) return pool.close(worker(), std::move(server_));
    ++owed;
  }
  auto work = [&pool, &its_worker = worker(), begun = std::string(back_.data().substr(back_ready_)),
               skip = back_left_ + back_drop_left_, owed,
               cancels = cancel == Cancel::yes && outstanding() > 0 && !client_said_bye_,
               status = status_, untouched, held = std::move(server_)]() mutable {
    return recover(pool, its_worker, std::move(held),
                   {std::move(begun), skip, owed, cancels, status, untouched});
  };
  if (!pool.group(worker()).spawn(std::move(work)))
    log::debug("sql", "an abandoned server connection was closed");
}

net::Task<> Session::recover(postgres::Pool& pool, net::Worker& worker,
                             std::unique_ptr<postgres::Server> server, Abandoned left) {
  const TimePoint deadline = Clock::now() + kRecovery;
  server->stream->expire_at(deadline);
  bool good = true;
  pgwire::Status status = left.status;
  if (left.cancels) {
    auto heard = co_await postgres::cancel(pool.group(worker), server->endpoint, pool.route(),
                                           server->pid, server->key, deadline);
    good = heard.has_value();
  }
  if (good && (left.owed > 0 || left.skip > 0 || !left.begun.empty())) {
    auto drained = co_await read_owed(*server, worker, left.begun, left.skip, left.owed);
    good = drained.has_value();
    if (good && left.owed > 0) status = *drained;
  }
  if (good && status != pgwire::Status::idle) {
    auto rolled_back = co_await postgres::ask(*server, "ROLLBACK", deadline);
    good = rolled_back.has_value();
  }
  if (good && !left.untouched) {
    auto discarded = co_await postgres::ask(*server, "DISCARD ALL", deadline);
    good = discarded.has_value();
    server->settings.clear();
    server->prepared.clear();
  }
  if (!good) {
    pool.close(worker, std::move(server));
    co_return;
  }
  server->stream->expire_at(kNever);
  pool.give(worker, std::move(server));
}

}  // namespace headroom::sql
