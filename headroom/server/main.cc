// headroom - the command line: reads what is asked and calls it. Exit codes: 0 fine, 1 failed, 2 bad usage or settings.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "headroom/base/text.h"
#include "headroom/server/commands.h"
#include "headroom/server/kubernetes.h"
#include "headroom/server/serve.h"
#include "headroom/server/sources.h"
#include "headroom/server/top.h"

namespace headroom::server {
namespace {

constexpr int kBadUsage = 2;

// What all commands that read settings take.
struct SettingsFlags {
  std::string file;
  std::vector<std::string> set;

  void add_to(CLI::App& command) {
    command.add_option("-c,--config", file, "Settings file (TOML); HEADROOM_CONFIG names one too")
        ->type_name("FILE");
    command.add_option("--set", set, "One setting, as in edge.listen=:9000; wins over all")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
  }
};

struct ServeFlags {
  SettingsFlags settings;
  std::vector<std::string> app;
  std::string postgres;
  std::vector<std::string> replica;
  std::string redis;
  bool take_over = false;
};

int bad_usage(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return kBadUsage;
}

Result<SettingsRequest> request_of(const SettingsFlags& flags) {
  SettingsRequest request{.file = flags.file, .flags = {}};
  for (const std::string& text : flags.set) {
    auto assignment = config::parse_assignment(text);
    if (!assignment) return pass(assignment);
    request.flags.push_back(std::move(*assignment));
  }
  return request;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

int run_serve(const ServeFlags& flags) {
  if (!flags.redis.empty())
    return bad_usage("--redis: there is no Redis tier yet; the cache is in memory, without a flag");
  auto settings = request_of(flags.settings);
  if (!settings) return bad_usage(settings.error().message);
  if (!flags.app.empty())
    settings->flags.push_back({.path = "edge.app", .value = joined(flags.app), .flag = "--app"});
  if (!flags.postgres.empty())
    settings->flags.push_back(
        {.path = "sql.postgres", .value = flags.postgres, .flag = "--postgres"});
  if (!flags.replica.empty())
    settings->flags.push_back(
        {.path = "sql.replicas", .value = joined(flags.replica), .flag = "--replica"});
  return serve({.settings = std::move(*settings),
                .take_over = flags.take_over ? TakeOver::yes : TakeOver::no});
}

template <class Command>
int with_settings(const SettingsFlags& flags, Command command) {
  auto settings = request_of(flags);
  return settings ? command(*settings) : bad_usage(settings.error().message);
}

// What is wrong with a command that is not there, or a setting given as a flag; CLI11 names neither.
std::string complaint(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* at = &app;
  const auto names_of = [](const CLI::App& parent) {
    std::vector<std::string> names;
    for (const CLI::App* each : parent.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(each->get_name());
    return names;
  };
  for (const std::string& argument : arguments) {
    if (argument.starts_with("--") && argument.substr(0, argument.find('=')).contains('.'))
      return fmt::format(
          "{}: settings are given as --set {}", argument,
          argument.contains('=') ? argument.substr(2) : argument.substr(2) + "=VALUE");
    const auto names = names_of(*at);
    if (names.empty() || argument.starts_with('-')) continue;
    if (std::ranges::find(names, argument) == names.end()) {
      const auto near = text::nearest(argument, names);
      return fmt::format("'{}' is no command{}", argument,
                         near ? fmt::format("; did you mean {}?", *near)
                              : fmt::format(" of: {}", fmt::join(names, ", ")));
    }
    at = at->get_subcommand(argument);
  }
  const auto names = names_of(*at);
  return names.empty()
             ? ""
             : fmt::format("expected a command: {}\nRun with --help for more information.",
                           fmt::join(names, ", "));
}

// The commands, each with what it runs.
class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("--version", fmt::format("headroom {}", kVersion));
    app_.require_subcommand(1);
    add_serve();
    add_check();
    add_token();
    add_backup();
    add_top();
    add_health();
    add_alerts();
    add_export();
    add_docs();
    app_.footer(
        "Settings: headroom docs settings. Exit codes: 0 fine, 1 failed, 2 bad usage or settings.");
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() != 0) {
        const std::string better = complaint(app_, {argv + 1, argv + argc});
        if (!better.empty()) return bad_usage(better);
      }
      return app_.exit(error) == 0 ? 0 : kBadUsage;
    }
    return run_();
  }

 private:
  void add_serve() {
    CLI::App& command = *app_.add_subcommand(
        "serve", "Serve until SIGTERM or SIGINT; SIGHUP reads the settings again");
    serve_.settings.add_to(command);
    command
        .add_option(
            "--app", serve_.app,
            "An address of the app, http://host:port, https://... or unix:/path; once for each")
        ->type_name("URL")
        ->allow_extra_args(false);
    command.add_option("--postgres", serve_.postgres, "The PostgreSQL primary")->type_name("URL");
    command.add_option("--replica", serve_.replica, "A PostgreSQL replica; once for each")
        ->type_name("URL")
        ->allow_extra_args(false);
    command.add_option("--redis", serve_.redis, "Redis, or a Redis Cluster")->type_name("URL");
    command.add_flag(
        "--take-over", serve_.take_over,
        "Take the listening sockets of the server that runs on the same state_dir, if any");
    command.callback([this] { run_ = [this] { return run_serve(serve_); }; });
  }

  void add_check() {
    CLI::App& command = *app_.add_subcommand(
        "check", "Say whether a settings file is right, and what is wrong with it");
    command.add_option("FILE", file_, "Settings file (TOML)")->required();
    command.callback(
        [this] { run_ = [this] { return check_settings({.file = file_, .flags = {}}); }; });
  }

  void add_token() {
    CLI::App& token = *app_.add_subcommand("token", "Admin tokens; also beside a running server");
    token.require_subcommand(1);
    CLI::App& create = *token.add_subcommand("create", "Make a token and print it alone");
    create.add_option("--name", token_.name, "Whose it is")->required();
    create.add_option("--role", token_.role, "What it may do")
        ->required()
        ->type_name("viewer|operator|admin");
    create
        .add_option("--expires-in", token_.expires_in,
                    "How long it is good, as in 30d; else for ever")
        ->type_name("DURATION");
    settings_.add_to(create);
    create.callback([this] {
      run_ = [this] {
        return with_settings(settings_, [this](const auto& s) { return create_token(s, token_); });
      };
    });
    CLI::App& list = *token.add_subcommand("list", "List the tokens, without their text");
    settings_.add_to(list);
    list.callback([this] { run_ = [this] { return with_settings(settings_, list_tokens); }; });
    CLI::App& revoke = *token.add_subcommand("revoke", "End a token");
    revoke.add_option("--name", token_.name, "Whose it is")->required();
    settings_.add_to(revoke);
    revoke.callback([this] {
      run_ = [this] {
        return with_settings(settings_,
                             [this](const auto& s) { return revoke_token(s, token_.name); });
      };
    });
  }

  void add_backup() {
    CLI::App& command = *app_.add_subcommand(
        "backup", "Copy the state into a directory; also beside a running server");
    command.add_option("DIR", file_, "Where to; made if need be")->required();
    settings_.add_to(command);
    command.callback([this] {
      run_ = [this] {
        return with_settings(settings_, [this](const auto& s) { return backup(s, file_); });
      };
    });
  }

  void add_alerts() {
    CLI::App& alerts = *app_.add_subcommand("alerts", "Alert rules");
    alerts.require_subcommand(1);
    CLI::App& test = *alerts.add_subcommand(
        "test",
        "Say what the rules tell of recorded series, and whether that is what the file expects");
    test.add_option("FILE", file_,
                    "JSON: {\"tests\": [{\"alert\", \"step_seconds\", \"values\", \"expect\": "
                    "[\"65 fired critical\"]}]}")
        ->required();
    settings_.add_to(test);
    test.callback([this] {
      run_ = [this] {
        return with_settings(settings_, [this](const auto& s) { return test_alerts(s, file_); });
      };
    });
  }

  void add_top() {
    CLI::App& command =
        *app_.add_subcommand("top", "The overview of a running server in a terminal; q ends it");
    command.add_flag("--once", top_.once, "Print it once and end");
    command
        .add_option("--token-file", top_.token_file,
                    "The file with the token, instead of HEADROOM_TOKEN")
        ->type_name("FILE");
    settings_.add_to(command);
    command.callback([this] {
      run_ = [this] {
        return with_settings(settings_, [this](const auto& s) { return top(s, top_); });
      };
    });
  }

  void add_health() {
    CLI::App& command = *app_.add_subcommand(
        "health", "Ask a running server's probe; exit code 0 when it says yes");
    probe_ = "livez";
    command.add_option("PROBE", probe_, "livez, readyz or startupz")
        ->check(CLI::IsMember({"livez", "readyz", "startupz"}))
        ->capture_default_str();
    settings_.add_to(command);
    command.callback([this] {
      run_ = [this] {
        return with_settings(settings_, [this](const auto& s) { return health(s, probe_); });
      };
    });
  }

  void add_export() {
    CLI::App& command =
        *app_.add_subcommand("export", "Write the settings in another system's form");
    command.require_subcommand(1);
    CLI::App& kubernetes = *command.add_subcommand(
        "kubernetes",
        "Manifests for `kubectl apply -f`, from [server.kubernetes] and all other settings");
    settings_.add_to(kubernetes);
    kubernetes.callback(
        [this] { run_ = [this] { return with_settings(settings_, export_kubernetes); }; });
    CLI::App& rules = *command.add_subcommand("prometheus-rules",
                                              "The alert rules as a rules file for Prometheus");
    settings_.add_to(rules);
    rules.callback(
        [this] { run_ = [this] { return with_settings(settings_, export_prometheus_rules); }; });
  }

  void add_docs() {
    CLI::App& command = *app_.add_subcommand("docs",
                                             "Print generated documents: settings, config, "
                                             "metrics and api (Markdown), schema (JSON Schema), "
                                             "openapi");
    command.add_option("WHAT", file_, "settings, config, metrics, api, schema or openapi")
        ->required();
    command.callback([this] { run_ = [this] { return print_docs(file_); }; });
  }

  CLI::App app_{"Headroom: room to grow for a web application", "headroom"};
  ServeFlags serve_;
  SettingsFlags settings_;
  TokenFlags token_;
  TopFlags top_;
  std::string probe_;
  std::string file_;
  std::function<int()> run_;
};

}  // namespace
}  // namespace headroom::server

int main(int argc, char** argv) { return headroom::server::CommandLine().run(argc, argv); }
