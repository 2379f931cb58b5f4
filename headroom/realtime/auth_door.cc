#include "headroom/realtime/auth_door.h"

#include <algorithm>
#include <cctype>

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

// Whether some framework reads the field of that name as "user_id": PHP takes blanks, dots and brackets in a name for "_", and what is before a
// bracket for the name; Rack skips brackets before it; some end it at a NUL, or do not care for case.
bool is_user_id(std::string_view name) {
  constexpr std::string_view kName = "user_id";
  name.remove_prefix(std::min(name.find_first_not_of(" []"), name.size()));
  std::string read(name.substr(0, kName.size()));
  for (char& c : read) {
    if (c == ' ' || c == '.' || c == '[') c = '_';
  }
  const std::string_view behind = name.substr(read.size());
  return text::equal_ignoring_case(read, kName) &&
         (behind.empty() || behind[0] == '[' || behind[0] == ']' || behind[0] == '\0');
}

bool names_user(const http::QueryFields& fields) {
  return std::ranges::any_of(fields, [](const auto& each) { return is_user_id(each.first); });
}

// `user_id` is the hub's to say. A form as it is, and as those read it to whom ";" stands between fields; of anything else whatever holds the
// name, as it is or by an escape. Nothing: that cannot be told.
Result<http::QueryFields> looked_at(const std::string& body) {
  auto fields = http::query_fields(body);
  std::string parted = body;
  std::ranges::replace(parted, ';', '&');
  const auto more = http::query_fields(parted);
  if (!fields || !more || names_user(*fields) || names_user(*more))
    return fail(Errc::invalid, "user_id is the hub's to say");
  return fields;
}

bool may_name_user(std::string_view type, std::string body) {
  if (text::equal_ignoring_case(type.substr(0, 10), "multipart/")) return true;
  for (char& c : body) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return body.contains("user_id") || body.contains("user%5fid") || body.contains("\\u");
}

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
    if (may_name_user(asked.content_type, asked.body))
      co_return fail(Errc::invalid, "user_id is the hub's to say");
    co_return asked;
  }
  auto fields = looked_at(asked.body);
  if (!fields) co_return pass(fields);
  if (fields->size() != 2) co_return asked;
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
