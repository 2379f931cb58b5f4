#include "headroom/config/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/base/error.h"
#include "headroom/config/sample_test.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::config {
namespace {

using sample::Admin;
using sample::Edge;
using std::chrono_literals::operator""min;

Sources file(std::string text) { return {.file = Document{"h.toml", std::move(text)}}; }
Sources variables(Environment environment) { return {.environment = std::move(environment)}; }
Sources flags(std::vector<Assignment> assignments) { return {.flags = std::move(assignments)}; }

std::shared_ptr<const Settings> loaded(const Sources& sources) {
  auto settings = sample::schema().load(sources);
  EXPECT_TRUE(settings) << settings.error().message;
  return settings ? *settings : std::make_shared<const Settings>();
}

std::string errors(const Sources& sources) {
  const auto settings = sample::schema().load(sources);
  return settings ? "accepted" : settings.error().message;
}
std::string file_errors(std::string text) { return errors(file(std::move(text))); }

const Entry& entry(const Settings& settings, std::string_view path) {
  for (const Entry& entry : settings.entries()) {
    if (entry.path == path) return entry;
  }
  ADD_FAILURE() << path;
  return settings.entries().front();
}

TEST(Config, DefaultsAreReadFromTheTable) {
  const auto settings = loaded({});
  const Edge& edge = settings->get<Edge>();
  EXPECT_TRUE(edge.enabled);
  EXPECT_EQ(edge.listen, (Address{.host = "0.0.0.0", .port = 8080}));
  EXPECT_EQ(edge.header_timeout, 10s);
  EXPECT_EQ(edge.body_limit, Bytes::mib(10));
  EXPECT_EQ(edge.rate, std::nullopt);
  EXPECT_EQ(edge.trusted_proxies, (std::vector<std::string>{"127.0.0.1", "::1"}));
  EXPECT_EQ(edge.steps, (std::vector<Duration>{1s, 2s}));
  EXPECT_TRUE(edge.upstreams.empty());
}

TEST(Config, AFileSetsEveryShape) {
  const auto settings = loaded(file(R"(
[edge]
enabled = false
listen = ":9000"
header_timeout = "500ms"
body_limit = 1000
rate = "100r/s"
balance = "random"
jitter = 1
trusted_proxies = ["10.0.0.1"]
steps = ["5s", "1ms"]
tls = { cert = "a.pem", key = "b.pem" }
[[edge.upstreams]]
url = "http://a"
[[edge.upstreams]]
url = "http://b"
weight = 7
[admin.roles]
super_admin = "admin"
)"));
  const Edge& edge = settings->get<Edge>();
  EXPECT_FALSE(edge.enabled);
  EXPECT_EQ(edge.listen, (Address{.port = 9000}));
  EXPECT_EQ(edge.header_timeout, 500ms);
  EXPECT_EQ(edge.body_limit, Bytes{1000});
  EXPECT_EQ(edge.rate, (Rate{100, 1s}));
  EXPECT_EQ(edge.balance, sample::Balance::random);
  EXPECT_EQ(edge.jitter, 1.0);
  EXPECT_EQ(edge.trusted_proxies, std::vector<std::string>{"10.0.0.1"});
  EXPECT_EQ(edge.steps, (std::vector<Duration>{5s, 1ms}));
  EXPECT_EQ(edge.tls.key, "b.pem");
  ASSERT_EQ(edge.upstreams.size(), 2U);
  EXPECT_EQ(edge.upstreams[0].weight, 1U);
  EXPECT_EQ(edge.upstreams[1].url, "http://b");
  EXPECT_EQ(edge.upstreams[1].weight, 7U);
  EXPECT_EQ(settings->get<Admin>().roles.at("super_admin"), "admin");
  EXPECT_EQ(entry(*settings, "edge.header_timeout").origin.where, "h.toml:5");
  EXPECT_EQ(entry(*settings, "edge.upstreams[1].weight").origin.where, "h.toml:17");
  EXPECT_EQ(entry(*settings, "edge.upstreams[0].weight").origin.where, "");
}

TEST(Config, DefaultsThenFileThenAliasThenEnvironmentThenFlags) {
  Sources sources;
  const auto connections = [&sources] { return loaded(sources)->get<Edge>().max_connections; };
  const auto origin = [&sources] {
    return entry(*loaded(sources), "edge.max_connections").origin.where;
  };
  EXPECT_EQ(connections(), 10000U);
  EXPECT_EQ(origin(), "");
  sources.file = Document{"h.toml", "[edge]\nmax_connections = 1"};
  EXPECT_EQ(connections(), 1U);
  EXPECT_EQ(origin(), "h.toml:2");
  sources.environment = {{"NGINX_WORKER_CONNECTIONS", "2"}};
  EXPECT_EQ(connections(), 2U);
  EXPECT_EQ(origin(), "NGINX_WORKER_CONNECTIONS");
  sources.environment.insert(sources.environment.begin(), {"HEADROOM_EDGE_MAX_CONNECTIONS", "3"});
  EXPECT_EQ(connections(), 3U);
  EXPECT_EQ(origin(), "HEADROOM_EDGE_MAX_CONNECTIONS");
  sources.flags = {{"edge.max_connections", "4"}};
  EXPECT_EQ(connections(), 4U);
  EXPECT_EQ(origin(), "--set");
}

TEST(Config, TheEnvironmentReachesNestedSectionsListsAndMaps) {
  const auto settings = loaded(variables({{"HEADROOM_EDGE_TLS_CERT", "a.pem"},
                                          {"HEADROOM_EDGE_TLS_KEY", "b.pem"},
                                          {"HEADROOM_EDGE_TRUSTED_PROXIES", "10.0.0.1, 10.0.0.2"},
                                          {"HEADROOM_EDGE_STEPS", ""},
                                          {"HEADROOM_EDGE_ENABLED", "off"},
                                          {"HEADROOM_ADMIN_ROLES", "root=admin, guest=viewer"},
                                          {"PATH", "/bin"}}));
  const Edge& edge = settings->get<Edge>();
  EXPECT_EQ(edge.tls.cert, "a.pem");
  EXPECT_EQ(edge.trusted_proxies, (std::vector<std::string>{"10.0.0.1", "10.0.0.2"}));
  EXPECT_TRUE(edge.steps.empty());
  EXPECT_FALSE(edge.enabled);
  EXPECT_EQ(settings->get<Admin>().roles.at("guest"), "viewer");
}

TEST(Config, AnEmptyOptionalIsNone) {
  EXPECT_EQ(loaded(file("[edge]\nrate = \"\""))->get<Edge>().rate, std::nullopt);
  Sources sources = file("[edge]\nrate = \"5/s\"");
  EXPECT_EQ(loaded(sources)->get<Edge>().rate, (Rate{5, 1s}));
  sources.environment = {{"HEADROOM_EDGE_RATE", ""}};
  EXPECT_EQ(loaded(sources)->get<Edge>().rate, std::nullopt);
}

TEST(Config, AliasesKeepTheirOwnSpellings) {
  const auto settings = loaded(variables({{"NGINX_RATE_LIMIT", "100r/s"}, {"HEAD_TIMEOUT", "30"}}));
  EXPECT_EQ(settings->get<Edge>().rate, (Rate{100, 1s}));
  EXPECT_EQ(settings->get<Edge>().header_timeout, 30s);
  EXPECT_EQ(loaded(variables({{"NGINX_WORKER_CONNECTIONS", ""}}))->get<Edge>().max_connections,
            10000U);
  EXPECT_EQ(errors(variables({{"NGINX_RATE_LIMIT", "fast"}})),
            "NGINX_RATE_LIMIT: edge.rate = \"fast\": expected a rate such as 100/min, 100r/s or "
            "1000/15min");
}

TEST(Config, UnknownVariablesAreRefusedWithTheNearestName) {
  EXPECT_EQ(errors(variables({{"HEADROOM_EDGE_LISEN", ":1"}})),
            "HEADROOM_EDGE_LISEN: unknown setting; did you mean HEADROOM_EDGE_LISTEN?");
  EXPECT_EQ(errors(variables({{"HEADROOM_ZEBRA", "1"}})), "HEADROOM_ZEBRA: unknown setting");
  EXPECT_EQ(errors(variables({{"HEADROOM_EDGE_UPSTREAMS", "http://a"}})),
            "HEADROOM_EDGE_UPSTREAMS: 'edge.upstreams' is a list of sections, which the "
            "environment cannot set; "
            "write [[edge.upstreams]] in the file");
  EXPECT_EQ(errors(variables({{"HEADROOM_CONFIG", "h.toml"}})), "accepted");
}

TEST(Config, VariablesThatKubernetesSetsAreNotOurs) {
  EXPECT_EQ(errors(variables({{"HEADROOM_SERVICE_HOST", "10.0.0.1"},
                              {"HEADROOM_SERVICE_PORT_HTTP", "8080"},
                              {"HEADROOM_PORT", "tcp://10.0.0.1:8080"},
                              {"HEADROOM_PORT_8080_TCP_ADDR", "10.0.0.1"},
                              {"HEADROOM_ADMIN_PORT_9090_TCP", "tcp://10.0.0.1:9090"}})),
            "accepted");
  EXPECT_NE(errors(variables({{"HEADROOM_PORT", "8080"}})), "accepted");
}

TEST(Config, FlagsReachElementsOfLists) {
  Sources sources = file("[[edge.upstreams]]\nurl = \"http://file\"\nweight = 3\n");
  sources.flags = {{"edge.upstreams[0].weight", "4"},
                   {"edge.upstreams[1].url", "http://b", "--app"}};
  auto upstreams = loaded(sources)->get<Edge>().upstreams;
  ASSERT_EQ(upstreams.size(), 2U);
  EXPECT_EQ(upstreams[0].url, "http://file");
  EXPECT_EQ(upstreams[0].weight, 4U);
  EXPECT_EQ(upstreams[1].url, "http://b");
  sources.flags = {{"edge.upstreams", "[]", "--app"},
                   {"edge.upstreams[0].url", "http://b", "--app"}};
  upstreams = loaded(sources)->get<Edge>().upstreams;
  ASSERT_EQ(upstreams.size(), 1U);
  EXPECT_EQ(upstreams[0].url, "http://b");
  EXPECT_EQ(loaded(flags({{"admin.roles.root", "admin"}}))->get<Admin>().roles.at("root"), "admin");
}

TEST(Config, FlagsThatNameNoSettingAreRefused) {
  EXPECT_EQ(errors(flags({{"edge.lisen", ":1"}})),
            "--set: unknown setting 'edge.lisen'; did you mean 'listen'?");
  EXPECT_EQ(errors(flags({{"edge.upstreams[3].url", "x"}})),
            "--set: 'edge.upstreams[3].url': no list has an element [3] here");
  EXPECT_EQ(errors(flags({{"edge..listen", ":1"}})),
            "--set: 'edge..listen' is not the name of a setting");
  EXPECT_EQ(errors(flags({{"edge.upstreams[x].url", "a"}})),
            "--set: 'edge.upstreams[x].url' is not the name of a setting");
  EXPECT_EQ(errors(flags({{"edge", "3"}})), "--set: edge = \"3\": expected a section, [edge]");
  EXPECT_EQ(errors(flags({{"edge.listen.port", "3"}})),
            "--set: edge.listen = a table: expected an address such as 127.0.0.1:8080, [::1]:8080, "
            ":8080 or "
            "unix:/run/app.sock");
  EXPECT_EQ(parse_assignment(" edge.listen = :9000")->path, "edge.listen");
  EXPECT_EQ(parse_assignment("a=b=c")->value, "b=c");
  EXPECT_EQ(parse_assignment("hunter2").error().message,
            "expected name=value, such as edge.listen=:9000");
  EXPECT_FALSE(parse_assignment("=x"));
}

TEST(Config, UnknownKeysAndSectionsAreRefusedWithTheNearestName) {
  EXPECT_EQ(file_errors("[edge]\nlisen = \":1\""),
            "h.toml:2: unknown setting 'edge.lisen'; did you mean 'listen'?");
  EXPECT_EQ(file_errors("[edge.tls]\nzebra = 1"),
            "h.toml:2: unknown setting 'edge.tls.zebra'; [edge.tls] has: cert, key");
  EXPECT_EQ(file_errors("\n[egde]\n"), "h.toml:2: unknown section 'egde'; did you mean 'edge'?");
  EXPECT_EQ(file_errors("[tasks]\n"),
            "h.toml:1: unknown section 'tasks'; known sections: edge, admin");
  EXPECT_EQ(file_errors("listen = 1"),
            "h.toml:1: unknown section 'listen'; known sections: edge, admin");
  EXPECT_EQ(file_errors("[[edge.upstreams]]\nurl = \"http://a\"\nwieght = 2"),
            "h.toml:3: unknown setting 'edge.upstreams[0].wieght'; did you mean 'weight'?");
}

TEST(Config, WrongValuesAreRefusedWithWhatIsAccepted) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"header_timeout = \"banana\"",
       "edge.header_timeout = \"banana\": expected a duration from 1ms to 1h"},
      {"header_timeout = \"2h\"",
       "edge.header_timeout = \"2h\": expected a duration from 1ms to 1h"},
      {"header_timeout = 5", "edge.header_timeout = 5: expected a duration from 1ms to 1h"},
      {"header_timeout = 2026-01-01",
       "edge.header_timeout = a date or time: expected a duration from 1ms to 1h"},
      {"body_limit = 0", "edge.body_limit = 0: expected a size of at least 1B"},
      {"balance = \"fair\"", "edge.balance = \"fair\": expected one of least, random"},
      {"enabled = \"true\"", "edge.enabled = \"true\": expected true or false"},
      {"enabled = 1", "edge.enabled = 1: expected true or false"},
      {"jitter = 1.5", "edge.jitter = 1.5: expected a number from 0 to 1"},
      {"max_connections = \"4\"",
       "edge.max_connections = \"4\": expected a whole number from 0 to 4294967295"},
      {"max_connections = -1",
       "edge.max_connections = -1: expected a whole number from 0 to 4294967295"},
      {"listen = \"8080\"",
       "edge.listen = \"8080\": expected an address such as 127.0.0.1:8080, [::1]:8080, :8080 or "
       "unix:/run/app.sock"},
      {"trusted_proxies = \"a\"",
       "edge.trusted_proxies = \"a\": expected a list, each a text in quotes"},
      {"trusted_proxies = [\"a\", 3]", "edge.trusted_proxies[1] = 3: expected a text in quotes"},
      {"tls = 3", "edge.tls = 3: expected a section, [edge.tls]"},
      {"upstreams = 3", "edge.upstreams = 3: expected a list of sections, [[edge.upstreams]]"},
      {"upstreams = [3]", "edge.upstreams[0] = 3: expected a section, [edge.upstreams[0]]"},
      {"upstreams = [{}]", "'edge.upstreams[0].url' is required: a text that starts with http://"},
      {"upstreams = [{url = \"ftp://a\"}]",
       "edge.upstreams[0].url = \"ftp://a\": expected a text that starts with http://"},
      {"tls = { cert = \"a.pem\" }", "[edge.tls]: cert and key go together"},
  };
  for (const auto& [line, message] : rows) {
    EXPECT_EQ(file_errors("[edge]\n" + line), "h.toml:2: " + message);
  }
  EXPECT_EQ(file_errors("[edge]\nsteps = [\n\"1s\",\n\"0\"]"),
            "h.toml:4: edge.steps[1] = \"0\": expected a duration of at least 1ms");
  EXPECT_EQ(file_errors("[admin]\nroles = {a = 1}"),
            "h.toml:2: admin.roles.a = 1: expected a text in quotes");
  EXPECT_EQ(
      errors(variables({{"HEADROOM_EDGE_STEPS", "1s,banana"}})),
      "HEADROOM_EDGE_STEPS: edge.steps[1] = \"1s,banana\": expected a duration of at least 1ms");
  EXPECT_EQ(errors(variables({{"HEADROOM_EDGE_TLS_CERT", "a.pem"}})),
            "HEADROOM_EDGE_TLS_CERT: [edge.tls]: cert and key go together");
}

TEST(Config, WhatIsNotTomlIsRefusedWithItsLine) {
  EXPECT_EQ(file_errors("[edge]\nlisten = \":1\"\nlisten = \":2\"").substr(0, 10), "h.toml:3: ");
  EXPECT_EQ(file_errors("[edge]\n[edge]\n").substr(0, 10), "h.toml:2: ");
  EXPECT_EQ(file_errors("[edge\n").substr(0, 10), "h.toml:1: ");
  EXPECT_EQ(file_errors("[`]\n").substr(0, 10), "h.toml:1: ");
  EXPECT_EQ(file_errors("\xCF\x8D = 1").substr(0, 10), "h.toml:1: ");
  EXPECT_EQ(file_errors("[edge]\nlisten = \"\xFF\"").substr(0, 10), "h.toml:2: ");
}

TEST(Config, AllErrorsAreToldTogether) {
  Sources sources = file("[egde]\n[edge]\nlisen = 1\njitter = 2\n");
  sources.environment = {{"HEADROOM_X", "1"}};
  EXPECT_EQ(errors(sources),
            "HEADROOM_X: unknown setting\n"
            "h.toml:1: unknown section 'egde'; did you mean 'edge'?\n"
            "h.toml:4: edge.jitter = 2: expected a number from 0 to 1\n"
            "h.toml:3: unknown setting 'edge.lisen'; did you mean 'listen'?");
  std::string many = "[edge]\n";
  for (int i = 0; i < 30; ++i) many += "zzzzzzzzzzzz" + std::to_string(i) + " = 1\n";
  const std::string text = file_errors(many);
  EXPECT_EQ(std::ranges::count(text, '\n'), 20);
  EXPECT_TRUE(text.ends_with("\nand 10 more"));
}

TEST(Config, RulesOverSeveralSectionsComeLast) {
  Schema schema = sample::schema();
  schema.check([](const Settings& settings) -> Result<void> {
    if (!settings.get<Edge>().enabled) return {};
    return fail(Errc::invalid, "no edge today");
  });
  EXPECT_EQ(schema.load({}).error().message, "no edge today");
  EXPECT_TRUE(schema.load(flags({{"edge.enabled", "false"}})));
  EXPECT_EQ(schema.load(flags({{"edge.jitter", "9"}})).error().message,
            "--set: edge.jitter = \"9\": expected a number from 0 to 1");
}

TEST(Config, SecretsAndPasswordsAreInNoError) {
  EXPECT_EQ(file_errors("[admin]\npassword = \"abc\""),
            "h.toml:2: admin.password: expected a text of at least 4 characters (the value is a "
            "secret and not shown)");
  EXPECT_EQ(file_errors("[edge]\nlisten = \"http://me:hush@db\"").find("hush"), std::string::npos);
  EXPECT_EQ(file_errors("[admin]\npassword = \"hush\"\npassword = \"hush\"").find("hush"),
            std::string::npos);
}

TEST(Config, WhatIsNotTomlIsNotRepeated) {
  for (const std::string value :
       {"tr0ub4dor", "5467382930172930475", "99999999999999999999", "'tr0u", "1e9999",
        "0x99999999999999999", "tr0u 99", "-99999999999999999999", "2026-99-99"}) {
    const std::string message = file_errors("[admin]\npassword = " + value);
    EXPECT_TRUE(message.starts_with("h.toml:2: ")) << message;
    EXPECT_EQ(message.find("tr0"), std::string::npos) << message;
    EXPECT_EQ(message.find("99"), std::string::npos) << message;
  }
}

TEST(Config, AFileThatCannotBeReadIsRefused) {
  EXPECT_EQ(read_document("/nonexistent/h.toml").error().message,
            "/nonexistent/h.toml: No such file or directory");
  EXPECT_EQ(read_document("/tmp").error().message, "/tmp: Is a directory");
  const auto folder = std::filesystem::temp_directory_path();
  const std::string path = folder / ("headroom_config_test." + std::to_string(::getpid()));
  std::ofstream(path) << std::string(5000, 'x');
  EXPECT_EQ(read_document(path)->text.size(), 5000U);
  std::filesystem::resize_file(path, Bytes::mib(4).count + 1);
  EXPECT_EQ(read_document(path).error().message, path + ": longer than 4MiB");
  std::filesystem::remove(path);
}

TEST(Config, TheProcessEnvironmentIsRead) {
  ::setenv("HEADROOM_CONFIG_TEST", "a=b", 1);  // NOLINT(concurrency-mt-unsafe): one thread
  const Environment environment = process_environment();
  EXPECT_TRUE(std::ranges::find(environment, std::pair<std::string, std::string>(
                                                 "HEADROOM_CONFIG_TEST", "a=b")) !=
              environment.end());
  ::unsetenv("HEADROOM_CONFIG_TEST");  // NOLINT(concurrency-mt-unsafe)
}

std::string changes(const Sources& before, const Sources& after) {
  std::string text;
  for (const Change& change : differences(*loaded(before), *loaded(after))) {
    text += change.path + (change.reload == Reload::live ? " live " : " restart ") + change.before +
            " -> " + change.after + "\n";
  }
  return text;
}

TEST(ConfigReload, DifferencesNameEachSettingAndWhetherItCanBeTakenUpLive) {
  const Sources before =
      file("[edge]\nheader_timeout = \"60s\"\n[[edge.upstreams]]\nurl = \"http://a\"");
  EXPECT_EQ(
      changes(before,
              file("[edge]\nheader_timeout = \"1m\"\n[[edge.upstreams]]\nurl = \"http://a\"")),
      "");
  EXPECT_EQ(
      changes(
          before,
          file("[edge]\nlisten = \":1\"\nheader_timeout = \"2s\"\n"
               "[[edge.upstreams]]\nurl = \"http://b\"\n[[edge.upstreams]]\nurl = \"http://c\"")),
      "edge.listen restart \"0.0.0.0:8080\" -> \":1\"\n"
      "edge.header_timeout live \"1m\" -> \"2s\"\n"
      "edge.upstreams live 1 -> 2\n"
      "edge.upstreams[0].url live \"http://a\" -> \"http://b\"\n");
  EXPECT_EQ(changes(before, file("[edge]\nheader_timeout = \"60s\"")),
            "edge.upstreams live 1 -> 0\n");
}

TEST(ConfigReload, AChangedSecretIsSeenButNotShown) {
  EXPECT_EQ(changes(file("[admin]\npassword = \"hush\""), file("[admin]\npassword = \"hush2\"")),
            "admin.password live \"***\" -> \"***\"\n");
  EXPECT_EQ(changes(file("[admin]\ndatabase = \"pg://a:hush@b\""),
                    file("[admin]\ndatabase = \"pg://a:hush2@b\"")),
            "admin.database restart \"pg://a:***@b\" -> \"pg://a:***@b\"\n");
}

TEST(ConfigReload, OldSettingsOutliveTheReload) {
  auto old = loaded({});
  const Edge& edge = old->get<Edge>();
  const auto fresh = loaded(flags({{"edge.max_connections", "1"}}));
  EXPECT_EQ(edge.max_connections, 10000U);
  EXPECT_EQ(fresh->get<Edge>().max_connections, 1U);
}

struct Wrong {
  Duration wait{};
};

TEST(ConfigDeathTest, ATableWithAnInvalidDefaultIsABug) {
  Section<Wrong> s("wrong", "");
  EXPECT_DEATH(s.setting("wait", &Wrong::wait, "banana", Reload::live, ""), "wait = banana");
  EXPECT_DEATH(s.setting("wait", &Wrong::wait, "0", Reload::live, "", at_least(1s)), "wait = 0");
  EXPECT_DEATH(s.setting("Wait", &Wrong::wait, "0", Reload::live, ""), "is_snake_case");
  s.setting("wait", &Wrong::wait, "0", Reload::live, "");
  EXPECT_DEATH(s.setting("wait", &Wrong::wait, "0", Reload::live, ""), "find");
}

TEST(ConfigDeathTest, AnAmbiguousTableIsABug) {
  Schema schema = sample::schema();
  EXPECT_DEATH(schema.add(sample::edge_section()), "section.table.name");
  Section<Wrong> ambiguous("edge_tls", "");
  ambiguous.setting("cert", &Wrong::wait, "0", Reload::live, "");
  EXPECT_DEATH(schema.add(ambiguous), "HEADROOM_EDGE_TLS_CERT");
  Section<Wrong> lost("wrong", "");
  lost.alias("WAIT", "wiat");
  EXPECT_DEATH(schema.add(lost), "alias.path");
  EXPECT_DEATH(static_cast<void>(Settings().get<Edge>()), "objects_");
}

}  // namespace
}  // namespace headroom::config
