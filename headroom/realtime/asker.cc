#include "headroom/realtime/asker.h"

#include <algorithm>
#include <array>

#include "headroom/auth/crypto.h"
#include "headroom/auth/timed_signature.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/limit/connections.h"
#include "headroom/realtime/metrics.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kGrace = 5s;  // for an answer of another worker, beyond what it waits itself

constexpr std::array<std::string_view, 5> kShown{"Cookie", "Authorization", "X-CSRF-Token",
                                                 "X-XSRF-TOKEN", "Accept-Language"};

std::string key_of(const Question& question) {
  std::string all;
  const auto add = [&all](std::string_view part) {
    all += std::to_string(part.size());
    all += ':';
    all += part;
  };
  add(question.channel);
  add(question.user);
  for (const auto& [name, value] : question.credentials) {
    if (text::equal_ignoring_case(name, "Accept-Language")) continue;
    add(name);
    add(value);
  }
  const auth::Digest digest = auth::sha256(all);
  return std::string(text_of(digest));
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += text::hex({&c, 1});
    }
  }
}

std::string form_of(const Question& question) {
  std::string form = "socket_id=";
  append_escaped(form, question.socket_id);
  form += "&channel_name=";
  append_escaped(form, question.channel);
  if (question.user.empty()) return form;
  form += "&user_id=";
  append_escaped(form, question.user);
  return form;
}

Answer read(http::CallAnswer&& said) {
  Answer answer;
  answer.allowed = said.status == 200;
  answer.status = said.status;
  answer.body = std::move(said.body);
  if (!answer.allowed) return answer;
  auto document = json::parse(answer.body);
  if (!document) return answer;  // "", or a text: a yes of the plain faces
  document->root().each_member([&](std::string_view name, json::Value member) {
    if (name == "channel_data") answer.channel_data = member.string().value_or("");
    answer.alone = answer.alone || (name != "auth" && name != "channel_data");
  });
  return answer;
}

std::unexpected<Error> too_many() {
  return fail(Errc::overloaded, "too many questions to the app wait; come back later");
}

}  // namespace

Credentials credentials_in(const http::RequestHead& head) {
  Credentials all;
  for (const std::string_view name : kShown) {
    for (const http::Field& field : head.fields) {
      if (text::equal_ignoring_case(field.name, name))
        all.emplace_back(std::string(name), std::string(field.value));
    }
  }
  return all;
}

Asker::Asker(Shards& shards, net::Worker& worker, net::Resolver& resolver,
             metrics::Registry& registry)
    : shards_(shards),
      worker_(worker),
      resolver_(resolver),
      calls_(registry.counter(kQuestions, {"asked"}).at(worker.index())),
      spared_(registry.counter(kQuestions, {"spared"}).at(worker.index())),
      failed_(registry.counter(kQuestions, {"failed"}).at(worker.index())),
      refused_(registry.counter(kQuestions, {"refused"}).at(worker.index())),
      tasks_(worker) {}

net::Task<Result<Answer>> Asker::ask(Shards& shards, net::TaskGroup& group,
                                     std::shared_ptr<const Settings> settings, Question question) {
  std::vector<Question> one;
  one.push_back(std::move(question));
  auto answers = co_await ask_all(shards, group, std::move(settings), std::move(one));
  if (!answers) co_return pass(answers);
  co_return std::move(answers->front());
}

net::Task<Result<std::vector<Result<Answer>>>> Asker::ask_all(
    Shards& shards, net::TaskGroup& group, std::shared_ptr<const Settings> settings,
    std::vector<Question> questions) {
  struct Told {
    std::vector<std::optional<Result<Answer>>> answers;
    std::size_t left = 0;
    net::Event* done = nullptr;  // null: nobody waits any more
  };
  net::Event done(group);
  auto told = std::make_shared<Told>();  // of the asking worker
  told->answers.resize(questions.size());
  told->left = questions.size();
  told->done = &done;
  net::Worker& worker = group.worker();
  for (std::size_t i = 0; i < questions.size(); ++i) {
    auto tell = [told, i, &worker](Result<Answer> answer) {
      worker.post([told, i, answer = std::move(answer)]() mutable {
        told->answers[i] = std::move(answer);
        if (--told->left == 0 && told->done != nullptr) told->done->set();
      });
    };
    Waiting who{std::move(questions[i]), settings, std::move(tell)};
    std::string key = key_of(who.question);
    const std::size_t home = shards.home_of(key);
    shards.post(home, [key = std::move(key), who = std::move(who)](Shard& shard) mutable {
      shard.asker.take(key, std::move(who));
    });
  }
  // A turn and a call; and again, where the answer is each one's alone.
  const TimePoint deadline = Clock::now() + 4 * settings->options.authorization.timeout + kGrace;
  auto waited = co_await done.wait(deadline);
  told->done = nullptr;
  if (!waited) co_return pass(waited);
  std::vector<Result<Answer>> answers;
  for (auto& answer : told->answers) answers.push_back(std::move(*answer));
  co_return answers;
}

void Asker::take(const std::string& key, Waiting who) {
  if (const auto at = known_.find(key); at != known_.end() && at->second.until > Clock::now()) {
    spared_.add();
    return who.tell(at->second.answer);
  }
  if (waiting_ >= kMostWaiting) {
    refused_.add();
    return who.tell(too_many());
  }
  Asked& asked = asked_[key];
  if (asked.waiting.empty()) {
    asked.number = ++numbers_;
  } else {
    spared_.add();
  }
  ++waiting_;
  asked.waiting.push_back(std::move(who));
  if (!asked.begun) await_turn(key, asked, asked.waiting.back());
}

// At the worker that has the address.
void Asker::await_turn(const std::string& key, Asked& asked, const Waiting& who) {
  const AuthorizationOptions& options = who.settings->options.authorization;
  const std::uint64_t address = limit::Connections::key_of(who.question.from);
  if (!asked.addresses.insert(address).second) return;
  auto tell = [this, key, number = asked.number, address](bool granted) {
    worker_.post([this, key, number, address, granted] {
      granted ? take_turn(key, number, address) : miss_turn(key, number, address);
    });
  };
  shards_.post(address % shards_.size(), [address, tell, most = options.questions_per_address,
                                          patience = options.timeout](Shard& shard) {
    shard.turns.take(address, most, Clock::now(), patience, tell);
  });
}

void Asker::end_turn(std::uint64_t address) {
  shards_.post(address % shards_.size(),
               [address](Shard& shard) { shard.turns.end(address, Clock::now()); });
}

void Asker::take_turn(const std::string& key, std::uint64_t number, std::uint64_t address) {
  const auto at = asked_.find(key);
  const bool wanted = at != asked_.end() && at->second.number == number && !at->second.begun;
  if (!wanted) return end_turn(address);  // another address had its turn before
  Asked& asked = at->second;
  asked.begun = true;
  const auto own = std::ranges::find_if(asked.waiting, [address](const Waiting& each) {
    return limit::Connections::key_of(each.question.from) == address;
  });
  std::swap(asked.waiting.front(), *own);
  const Waiting& first = asked.waiting.front();
  // It may be answered before spawn() returns.
  if (tasks_.spawn([this, key, address, settings = first.settings, question = first.question] {
        return call(key, address, settings, question);
      }))
    return;
  end_turn(address);
  settle(key, fail(Errc::cancelled, "the server stops"), Duration::zero());
}

void Asker::miss_turn(const std::string& key, std::uint64_t number, std::uint64_t address) {
  const auto at = asked_.find(key);
  if (at == asked_.end() || at->second.number != number || at->second.begun) return;
  std::vector<Waiting>& waiting = at->second.waiting;
  const auto late = std::partition(waiting.begin(), waiting.end(), [address](const Waiting& each) {
    return limit::Connections::key_of(each.question.from) != address;
  });
  for (auto each = late; each != waiting.end(); ++each) {
    refused_.add();
    --waiting_;
    each->tell(too_many());
  }
  waiting.erase(late, waiting.end());
  at->second.addresses.erase(address);
  if (waiting.empty()) asked_.erase(at);
}

net::Task<> Asker::call(std::string key, std::uint64_t address,
                        std::shared_ptr<const Settings> settings, Question question) {
  calls_.add();
  http::Call what{.to = *settings->authorization};
  what.fields = question.credentials;
  what.fields.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  what.fields.emplace_back("Accept", "application/json");
  what.body = form_of(question);
  if (const std::string& secret = settings->options.authorization.secret; !secret.empty())
    what.fields.emplace_back("Headroom-Signature",
                             auth::timed_signature(secret, what.body, unix_seconds()));
  what.timeout = settings->options.authorization.timeout;
  auto said = co_await http::call(tasks_, resolver_, settings->tls.get(), what);
  end_turn(address);
  Result<Answer> answer = fail(Errc::unavailable, "the app did not answer well");
  if (!said) answer = pass(said);
  if (said && said->whole && said->status < 500) answer = read(std::move(*said));
  if (!answer) failed_.add();
  settle(key, answer, settings->options.authorization.remember);
}

void Asker::settle(const std::string& key, const Result<Answer>& answer, Duration remember) {
  std::vector<Waiting> waiting = std::move(asked_.extract(key).mapped().waiting);
  waiting_ -= waiting.size();
  waiting.front().tell(answer);
  const bool alone = answer && answer->alone;
  Result<Answer> others = answer;
  if (others) others->shared = true;
  if (answer && answer->allowed && !alone && remember > Duration::zero() &&
      known_.size() < kMostRemembered)
    known_[key] = {*others, Clock::now() + remember};
  for (std::size_t i = 1; i < waiting.size(); ++i) {
    if (alone) {
      take(key + std::to_string(++numbers_), std::move(waiting[i]));  // each asks for itself
    } else {
      waiting[i].tell(others);
    }
  }
}

net::Task<Result<>> Asker::own_turn(net::TaskGroup& group, std::uint64_t address,
                                    const AuthorizationOptions& options) {
  struct Told {
    bool granted = false;
    net::Event* done = nullptr;  // null: nobody waits any more
  };
  net::Event done(group);
  auto told = std::make_shared<Told>();  // of this worker
  told->done = &done;
  auto tell = [this, told, address](bool granted) {
    worker_.post([this, told, address, granted] {
      if (told->done == nullptr) return granted ? end_turn(address) : void();
      told->granted = granted;
      told->done->set();
    });
  };
  shards_.post(address % shards_.size(), [address, tell, most = options.questions_per_address,
                                          patience = options.timeout](Shard& shard) {
    shard.turns.take(address, most, Clock::now(), patience, tell);
  });
  const TimePoint deadline = Clock::now() + options.timeout + kGrace;
  auto waited = co_await done.wait(deadline);
  told->done = nullptr;
  if (!waited && told->granted) end_turn(address);
  if (!waited) co_return pass(waited);
  if (told->granted) co_return Result<>{};
  refused_.add();
  co_return too_many();
}

net::Task<Result<Answer>> Asker::pass_on(net::TaskGroup& group,
                                         std::shared_ptr<const Settings> settings,
                                         Credentials credentials, std::string content_type,
                                         std::string body, IpAddress from) {
  const std::uint64_t address = limit::Connections::key_of(from);
  auto turn = co_await own_turn(group, address, settings->options.authorization);
  if (!turn) co_return pass(turn);
  http::Call what{.to = *settings->authorization};
  what.fields = std::move(credentials);
  if (!content_type.empty()) what.fields.emplace_back("Content-Type", std::move(content_type));
  what.body = std::move(body);
  what.timeout = settings->options.authorization.timeout;
  auto said = co_await http::call(group, resolver_, settings->tls.get(), what);
  end_turn(address);
  if (!said) co_return pass(said);
  if (!said->whole) co_return fail(Errc::unavailable, "the app's answer is cut or too large");
  Answer answer;
  answer.allowed = said->status == 200;
  answer.status = said->status;
  answer.body = std::move(said->body);
  co_return answer;
}

void Asker::upkeep(TimePoint now) {
  std::erase_if(known_, [now](const auto& each) { return each.second.until <= now; });
}

}  // namespace headroom::realtime
