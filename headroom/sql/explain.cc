#include "headroom/sql/explain.h"

#include <fmt/format.h>

#include <array>

#include "headroom/pgwire/messages.h"
#include "headroom/sql/classify.h"
#include "headroom/sql/lexer.h"
#include "headroom/sql/values.h"

namespace headroom::sql {
namespace {

namespace from_client = pgwire::from_client;

constexpr Duration kPlanTime = 3s;
constexpr Duration kLockTime = 1s;
constexpr Duration kAnswer = 5s;  // for each thing that is asked
constexpr std::string_view kNone{"\0\0", 2};
constexpr std::string_view kOption = "EXPLAIN (FORMAT JSON) ";

// Their literals are written behind the type's name, where no parameter may stand.
constexpr std::array<std::string_view, 5> kTypes{"interval", "timestamp", "timestamptz", "date",
                                                 "time"};

Result<PlanRequest> checked(PlanRequest request) {
  const Decision decision = classify(request.query);
  const bool plain = decision.its_class == Class::read && decision.statements == 1 &&
                     !decision.locks_rows && !decision.into && !decision.writes_in_with &&
                     !decision.explains && !decision.copies;
  if (!plain)
    return fail(Errc::conflict,
                fmt::format("only single reads are explained; this is not one ({}{})",
                            name_of(decision.its_class),
                            request.generic ? ", or cannot be told from its shape" : ""));
  for (const ObjectName& each : decision.functions) request.functions.push_back(each.name);
  return request;
}

std::string settings_for(const PlanRequest& request) {
  const auto set = [](std::string_view name, std::string_view value) {
    return fmt::format("pg_catalog.set_config({}, {}, true)", literal(name), literal(value));
  };
  const auto ms = [](Duration time) { return fmt::format("{}ms", time / 1ms); };
  std::string query = "SELECT " + set("statement_timeout", ms(kPlanTime)) + ", " +
                      set("lock_timeout", ms(kLockTime)) + ", " +
                      set("standard_conforming_strings", "on") + ", " +
                      set("plan_cache_mode", "force_generic_plan");
  if (!request.search_path.empty()) query += ", " + set("search_path", request.search_path);
  return query;
}

// Those of its functions that are users' own and that planning may evaluate.
std::string question(const std::vector<std::string>& functions) {
  std::string names;
  for (const std::string& each : functions) names += (names.empty() ? "" : ", ") + literal(each);
  return fmt::format(
      "SELECT proname FROM pg_catalog.pg_proc WHERE proname IN ({}) AND provolatile <> 'v' AND "
      "pronamespace <> 'pg_catalog'::pg_catalog.regnamespace LIMIT 1",
      names);
}

std::string bound(std::string_view query, std::string_view types, std::string_view values) {
  std::string out;
  pgwire::append_parse(out, "", query, types);
  pgwire::Message(out, from_client::kBind).text("").text("").bytes(values).bytes(kNone);
  pgwire::Message(out, from_client::kExecute).text("").u32(0);
  pgwire::append_empty(out, from_client::kSync);
  return out;
}

// A refusal of the server's is about the query; all else about the server.
Error judged(const Error& error) {
  if (error.code != Errc::invalid) return error;
  return {Errc::conflict, "it cannot be planned: " + error.message};
}

}  // namespace

Result<PlanRequest> plan_of(const Sample& sample) {
  const bool simple = sample.types.empty();
  return checked({.query = sample.query,
                  .types = simple ? std::string(kNone) : sample.types,
                  .values = simple ? std::string(kNone) + std::string(kNone) : sample.values,
                  .search_path = sample.search_path,
                  .functions = {}});
}

Result<PlanRequest> plan_of_shape(std::string_view shape) {
  PlanRequest request{
      .query = {}, .types = {}, .values = {}, .search_path = {}, .functions = {}, .generic = true};
  Lexer lexer(shape);
  std::string_view type;  // the word before, if it is one of kTypes
  const char* written = shape.data();
  for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
    if (token.is('?')) {
      request.query.append(written, type.empty() ? token.text.data() : type.data());
      request.query += fmt::format("${}", ++request.open);
      if (!type.empty()) request.query.append("::").append(type);
      written = token.text.data() + token.text.size();
    }
    const bool typed =
        token.kind == Token::Kind::word &&
        std::ranges::any_of(kTypes, [&](std::string_view each) { return token.is(each); });
    type = typed ? token.text : std::string_view();
  }
  request.query.append(written, shape.data() + shape.size());
  return checked(std::move(request));
}

net::Task<Result<std::string>> explain(postgres::Server& server, PlanRequest request) {
  std::vector<std::string> first{"DISCARD ALL", "BEGIN READ ONLY", settings_for(request)};
  for (std::string& query : first) {
    auto done = co_await postgres::ask(server, std::move(query), Clock::now() + kAnswer);
    if (!done) co_return std::unexpected(judged(done.error()));
  }
  if (!request.functions.empty()) {
    auto found =
        co_await postgres::ask(server, question(request.functions), Clock::now() + kAnswer);
    if (!found) co_return std::unexpected(judged(found.error()));
    if (!found->empty())
      co_return fail(
          Errc::conflict,
          fmt::format("it calls {}(), which planning may evaluate, and which may do anything",
                      found->front().front().value_or("")));
  }
  std::string asked = bound(std::string(kOption) + request.query, request.types, request.values);
  if (request.generic) {
    const std::string prepare = "PREPARE headroom_plan AS " + request.query;
    auto prepared = co_await postgres::exchange(
        server, bound(prepare, kNone, std::string(kNone) + std::string(kNone)),
        Clock::now() + kAnswer);
    if (!prepared) co_return std::unexpected(judged(prepared.error()));
    std::string nulls;
    for (unsigned i = 0; i < request.open; ++i) nulls += i == 0 ? "(NULL" : ", NULL";
    asked.clear();
    pgwire::append_query(
        asked, fmt::format("{}EXECUTE headroom_plan{}", kOption, nulls.empty() ? "" : nulls + ")"));
  }
  auto plan = co_await postgres::exchange(server, std::move(asked), Clock::now() + kAnswer);
  if (!plan) co_return std::unexpected(judged(plan.error()));
  if (plan->size() != 1 || plan->front().size() != 1 || !plan->front().front())
    co_return fail(Errc::unavailable, "the server's plan is malformed");
  co_return std::move(*plan->front().front());
}

}  // namespace headroom::sql
