#include "headroom/realtime/auth_door.h"

#include "headroom/base/text.h"
#include "headroom/http/exchange.h"
#include "headroom/http/query.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/pusher.h"

namespace headroom::realtime {
namespace {

constexpr std::uint64_t kBodyLimit = 16U << 10U;

struct Asked {
  Question question;
  std::string content_type;
  std::string body;
  bool plain = false;  // `question` says all of it
};

net::Task<Result<Asked>> read(http::Exchange& exchange) {
  Asked asked;
  asked.question.credentials = credentials_in(exchange.request());
  asked.question.from = exchange.client().address;
  asked.content_type = exchange.request().value_of(http::Name::content_type);
  exchange.limit_body(kBodyLimit);
  for (;;) {
    auto piece = co_await exchange.read();
    if (!piece) co_return pass(piece, "body");
    if (piece->empty()) break;
    asked.body += *piece;
  }
  constexpr std::string_view kForm = "application/x-www-form-urlencoded";
  const std::string_view type = std::string_view(asked.content_type).substr(0, kForm.size());
  if (!text::equal_ignoring_case(type, kForm)) {
    // Whatever the app reads it by: the name, as it is or by an escape of JSON.
    if (asked.body.contains("user_id") || asked.body.contains("\\u"))
      co_return fail(Errc::invalid, "user_id is the hub's to say");
    co_return asked;
  }
  const auto fields = http::query_fields(asked.body);
  if (fields && http::find_field(*fields, "user_id"))
    co_return fail(Errc::invalid, "user_id is the hub's to say");
  if (!fields || fields->size() != 2) co_return asked;
  asked.question.socket_id = http::find_field(*fields, "socket_id").value_or("");
  asked.question.channel = http::find_field(*fields, "channel_name").value_or("");
  asked.plain = parse_socket(asked.question.socket_id) &&
                pusher::needs_auth(asked.question.channel) &&
                pusher::is_channel_name(asked.question.channel);
  co_return asked;
}

// What the app answered to another socket of the session, for this one; "": no app here has that key.
std::string signed_anew(const Settings& settings, const Question& question, const Answer& answer) {
  auto document = json::parse(answer.body);
  if (!document) return {};
  const auto auth = document->root().find("auth");
  const std::string_view text = auth ? auth->string().value_or("") : std::string_view();
  const auto app = settings.by_key.find(text.substr(0, text.find(':')));
  if (app == settings.by_key.end()) return {};
  std::string to_sign = question.socket_id + ":" + question.channel;
  if (!answer.channel_data.empty()) to_sign += ":" + answer.channel_data;
  std::string body;
  json::Writer out(body);
  out.begin_object().field(
      "auth", app->second->options.key + ":" + pusher::signature(app->second->options, to_sign));
  if (!answer.channel_data.empty()) out.field("channel_data", answer.channel_data);
  out.end_object();
  return body;
}

}  // namespace

bool AuthDoor::takes(const http::Exchange& exchange) const {
  const Settings& settings = *shards_.part(exchange.worker()).settings();
  return settings.authorization && exchange.request().method == http::Method::post &&
         exchange.request().path == settings.options.authorization.path;
}

net::Task<> AuthDoor::serve(http::Exchange& exchange) {
  const std::shared_ptr<const Settings> settings = shards_.part(exchange.worker()).settings();
  Asker& asker = shards_.asker(exchange.worker());
  auto asked = co_await read(exchange);
  http::Reply reply;
  if (!asked) {
    reply.status = asked.error().code == Errc::overloaded ? 413 : 400;
    exchange.close_after();
    (void)co_await exchange.reply(reply);
    co_return;
  }
  Result<Answer> answer = fail(Errc::internal, "");
  if (asked->plain) {
    answer = co_await Asker::ask(shards_, exchange.group(), settings, asked->question);
  } else {
    answer = co_await asker.pass_on(exchange.group(), settings, asked->question.credentials,
                                    asked->content_type, asked->body, asked->question.from);
  }
  if (answer && answer->shared && answer->allowed) {
    answer->body = signed_anew(*settings, asked->question, *answer);
    if (answer->body.empty())
      answer = co_await asker.pass_on(exchange.group(), settings, asked->question.credentials,
                                      asked->content_type, asked->body, asked->question.from);
  }
  if (!answer && answer.error().code == Errc::cancelled) {
    exchange.hijack();
    co_return;
  }
  reply.status = answer ? answer->status : 503;
  reply.fields = "Cache-Control: no-store\r\n";
  if (answer) {
    reply.body = std::move(answer->body);
  } else {
    const bool refused = answer.error().code == Errc::overloaded;
    json::Writer(reply.body)
        .begin_object()
        .key("error")
        .begin_object()
        .field("code", refused ? "overloaded" : "unavailable")
        .field("message", refused ? answer.error().message : "the app does not answer")
        .end_object()
        .end_object();
    reply.fields += "Retry-After: 1\r\n";
  }
  (void)co_await exchange.reply(reply);
}

}  // namespace headroom::realtime
