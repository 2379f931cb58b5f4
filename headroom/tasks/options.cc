#include "headroom/tasks/options.h"

#include <set>

#include "headroom/tasks/push.h"

namespace headroom::tasks {

using config::between;
using config::Reload;
using config::Section;

namespace {

Section<TasksTls> tls_section() {
  Section<TasksTls> s("tls", "TLS at the Faktory door.");
  s.setting("cert", &TasksTls::cert, "", Reload::restart,
            "PEM file with the certificate and its chain; empty: plain TCP.");
  s.setting("key", &TasksTls::key, "", Reload::restart, "PEM file with its key.");
  return s;
}

Section<ThrottleOptions> throttle_section() {
  Section<ThrottleOptions> s("throttles",
                             "How many jobs may begin in a time, or run at once. A job must pass "
                             "every throttle that is meant for it.");
  s.setting("queue", &ThrottleOptions::queue, "", Reload::restart,
            "Of this queue; empty: of every one.");
  s.setting("jobtype", &ThrottleOptions::jobtype, "", Reload::restart,
            "Of this type; empty: of every one.");
  s.setting(
      "by_key", &ThrottleOptions::by_key, "false", Reload::restart,
      "Whether each `custom.key` is counted by itself; jobs without one are not counted then.");
  s.setting("rate", &ThrottleOptions::rate, "", Reload::restart,
            "How many may begin, such as 100/min; in any stretch of that time.");
  s.setting("at_once", &ThrottleOptions::at_once, "0", Reload::restart,
            "How many may run at once; 0: any number.", between(0, 1000000));
  s.check([](const ThrottleOptions& o) -> Result<void> {
    if (!o.rate && o.at_once == 0)
      return fail(Errc::invalid, "a throttle needs 'rate' or 'at_once'");
    return {};
  });
  return s;
}

Section<BackoffOptions> backoff_section() {
  Section<BackoffOptions> s(
      "backoffs",
      "How long failed jobs wait for their next try. The first that names the job's type is used.");
  s.required("jobtype", &BackoffOptions::jobtype, Reload::restart,
             "Of this type; *: of every one.");
  s.setting("formula", &BackoffOptions::formula, "exponential", Reload::restart,
            "constant: base; linear: base x n; exponential: base x factor^(n - 1), before try n + "
            "1; faktory: n^4 + 15 s and some jitter.");
  s.setting("base", &BackoffOptions::base, "15s", Reload::restart, "The first wait.",
            between(1ms, 2592000s));
  s.setting("factor", &BackoffOptions::factor, "2", Reload::restart,
            "exponential: by which it grows.", between(1.0, 100.0));
  s.setting("limit", &BackoffOptions::limit, "24h", Reload::restart, "The longest wait.",
            between(1ms, 2592000s));
  s.setting("jitter", &BackoffOptions::jitter, "0.1", Reload::restart,
            "The share of it by which it may be shorter or longer.", between(0.0, 1.0));
  return s;
}

Section<PushOptions> push_section() {
  Section<PushOptions> s(
      "push", "A queue whose jobs are POSTed to a URL instead of being fetched; 2xx acknowledges.");
  s.required("queue", &PushOptions::queue, Reload::restart, "The queue.");
  s.secret("url", &PushOptions::url, "", Reload::restart,
           "Where to: https://app.example/jobs. Required.");
  s.secret("secret", &PushOptions::secret, "", Reload::restart,
           "Signs each request (Headroom-Signature: HMAC-SHA256); empty: none is signed.");
  s.setting("at_once", &PushOptions::at_once, "10", Reload::restart, "Requests at once.",
            between(1, 1000));
  s.setting("timeout", &PushOptions::timeout, "30s", Reload::restart,
            "How long a request may take; the job's lease lasts as long.", between(10ms, 3600s));
  s.setting("allow", &PushOptions::allow, "", Reload::restart,
            "Networks that may be reached although they are not public, such as 127.0.0.1 or "
            "10.0.0.0/8.");
  s.setting("ca", &PushOptions::ca, "", Reload::restart,
            "PEM file of certificate authorities; empty: the system's.");
  s.check([](const PushOptions& o) -> Result<void> {
    if (o.url.empty())
      return fail(Errc::invalid, "'url' is required: a text such as https://app.example/jobs");
    if (auto url = parse_push_url(o.url); !url) return pass(url);
    for (const std::string& network : o.allow) {
      if (auto read = Cidr::parse(network); !read) return pass(read, "allow");
    }
    return {};
  });
  return s;
}

}  // namespace

const Section<TasksOptions>& tasks_section() {
  static const auto section = [] {
    using O = TasksOptions;
    Section<O> s("tasks", "The task server: durable jobs for workers in any language.");
    s.setting("enabled", &O::enabled, "true", Reload::restart, "Whether the room is on.");
    s.setting("listen", &O::listen, "127.0.0.1:7419", Reload::restart,
              "Where Faktory clients connect.");
    s.secret("password", &O::password, "", Reload::restart,
             "What clients must know; empty: nothing, unless there are users.");
    s.secret("users", &O::users, "", Reload::restart,
             "Passwords by the `username` of HELLO, `{ shop = \"...\" }`; others need `password`.");
    s.section("tls", &O::tls, tls_section());
    s.setting("connections_limit", &O::connections_limit, "10000", Reload::restart,
              "Connections at once.", between(1, 1000000));
    s.setting("line_limit", &O::line_limit, "8MiB", Reload::restart,
              "The longest line of a client: a PUSHB has all its jobs in one.",
              between(Bytes::kib(1), Bytes::mib(64)));
    s.setting("job_limit", &O::job_limit, "1MiB", Reload::restart, "The longest job.",
              between(Bytes{256}, Bytes::mib(16)));
    s.setting("memory_limit", &O::memory_limit, "128MiB", Reload::restart,
              "Jobs kept in memory; beyond it those whose turn is last lie on the disk alone.",
              between(Bytes::mib(1), Bytes::mib(1U << 20U)));
    s.setting("queues_limit", &O::queues_limit, "1000", Reload::restart, "Queues.",
              between(1, 100000));
    s.setting("batches_limit", &O::batches_limit, "100000", Reload::restart,
              "Batches that are not over.", between(1, 10000000));
    s.setting("tracks_limit", &O::tracks_limit, "100000", Reload::restart,
              "Tracked jobs that are followed; the ones that ended first make room.",
              between(0, 10000000));
    s.setting("result_limit", &O::result_limit, "64KiB", Reload::restart,
              "The longest result of a job.", between(Bytes{0}, Bytes::mib(1)));
    s.setting("shares_limit", &O::shares_limit, "1000", Reload::restart,
              "Keys with jobs waiting between which queues are shared by turns; jobs of further "
              "ones wait in one line.",
              between(0, 100000));
    s.list("throttles", &O::throttles, throttle_section(), Reload::restart);
    s.list("backoffs", &O::backoffs, backoff_section(), Reload::restart);
    s.list("push", &O::push, push_section(), Reload::restart);
    s.setting("fetch_wait", &O::fetch_wait, "2s", Reload::restart,
              "How long a FETCH waits for a job.", between(10ms, 60s));
    s.setting("worker_timeout", &O::worker_timeout, "60s", Reload::restart,
              "A worker that has not sent its heartbeat for so long is dead: its jobs return.",
              between(1s, 3600s));
    s.setting("worker_grace", &O::worker_grace, "5s", Reload::restart,
              "So long after the last connection of a worker has ended it is dead too.",
              between(10ms, 3600s));
    s.setting("lost_limit", &O::lost_limit, "2", Reload::restart,
              "A job on which so many workers died goes to the dead ones.", between(1, 1000));
    s.setting("dead_retention", &O::dead_retention, "4320h", Reload::restart,
              "How long dead jobs are kept.", between(1s, 315360000s));
    s.setting("dead_limit", &O::dead_limit, "10000", Reload::restart,
              "How many dead jobs are kept; the oldest go first.", between(0, 100000000));
    s.setting(
        "analyze", &O::analyze, "false", Reload::restart,
        "Whether the recurring task headroom-statistics runs ANALYZE where statistics are old, "
        "or only says so.");
    s.check([](const O& o) -> Result<void> {
      if (o.tls.cert.empty() != o.tls.key.empty())
        return fail(Errc::invalid, "tls needs both 'cert' and 'key'");
      std::set<std::string> pushed;
      for (const PushOptions& push : o.push) {
        if (!pushed.insert(push.queue).second)
          return fail(Errc::invalid, "push: queue '" + push.queue + "' has a url already");
      }
      return {};
    });
    return s;
  }();
  return section;
}

}  // namespace headroom::tasks
