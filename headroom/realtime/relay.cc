#include "headroom/realtime/relay.h"

#include <sys/socket.h>

#include "headroom/base/log.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr std::size_t kMostLine = 4U << 20U;
constexpr Duration kPatience = 30s;

}  // namespace

std::string relay_line(const Publication& what) {
  std::string line;
  json::Writer out(line);
  out.begin_object()
      .field("app", what.app)
      .field("channel", what.channel)
      .field("event", what.event)
      .field("data", what.data);
  if (!what.user_id.empty()) out.field("user_id", what.user_id);
  if (what.except != 0) out.field("except", what.except);
  if (what.priority == Priority::critical) out.field("critical", true);
  if (what.form == Form::text) out.field("text", true);
  if (what.once != 0) out.field("once", what.once);
  out.end_object();
  line += '\n';
  return line;
}

Result<Publication> read_relay_line(std::string_view line) {
  auto document = json::parse(line, {.bytes = Bytes{kMostLine}});
  if (!document) return pass(document);
  json::Reader in(document->root());
  Publication what;
  bool critical = false;
  bool text = false;
  in.required("app", what.app);
  in.required("channel", what.channel);
  in.required("event", what.event);
  in.required("data", what.data);
  in.optional("user_id", what.user_id);
  in.optional("except", what.except);
  in.optional("critical", critical);
  in.optional("text", text);
  in.optional("once", what.once);
  in.allow_others();  // a newer process may say more
  if (auto read = in.finish(); !read) return pass(read);
  what.priority = critical ? Priority::critical : Priority::normal;
  what.form = text ? Form::text : Form::json;
  what.relayed = true;
  return what;
}

Relay::Relay(Shards& shards, net::Worker& worker, Cells& cells, int fd)
    : shards_(shards),
      worker_(worker),
      cells_(cells),
      tasks_(worker),
      stream_(tasks_, fd, AF_UNIX),
      wake_(tasks_) {
  HR_ASSERT(tasks_.spawn([this] { return read(); }));
  HR_ASSERT(tasks_.spawn([this] { return write(); }));
}

void Relay::published(const Publication& what) {
  if (ended_.load(std::memory_order_relaxed)) return;
  worker_.post([this, line = relay_line(what)]() mutable { send(std::move(line)); });
}

void Relay::send(std::string line) {
  if (ended_) return;
  if (waiting_.size() + line.size() > kMostWaiting) return cells_.relay_dropped.add();
  if (waiting_.empty()) wake_.set();
  waiting_ += line;
}

// False: a line that is none.
bool Relay::take_lines(std::string& waiting) {
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = waiting.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    auto what = read_relay_line(std::string_view(waiting).substr(begin, end - begin));
    if (!what) {
      log::warn("realtime", "relay: {}", what.error().message);
      return false;
    }
    cells_.relayed.add();
    shards_.part(worker_).publish(std::move(*what));
  }
  waiting.erase(0, begin);
  return waiting.size() <= kMostLine;
}

net::Task<> Relay::read() {
  std::string waiting;
  std::vector<char> piece(64U << 10U);
  for (;;) {
    auto bytes = co_await stream_.read_some(piece);
    if (!bytes || *bytes == 0) break;
    waiting.append(piece.data(), *bytes);
    if (!take_lines(waiting)) break;
  }
  ended_ = true;
  waiting_ = {};
  stream_.abort(Errc::cancelled);
  wake_.set();
  shards_.forget(*this);
}

net::Task<> Relay::write() {
  while (!ended_) {
    if (waiting_.empty()) {
      auto woken = co_await wake_.wait();
      if (!woken) co_return;
      continue;
    }
    const std::string lines = std::exchange(waiting_, {});
    stream_.expire_writes_at(Clock::now() + kPatience);
    auto written = co_await stream_.write(lines);
    if (!written) {
      ended_ = true;
      stream_.abort(Errc::cancelled);
      co_return;
    }
  }
}

}  // namespace headroom::realtime
