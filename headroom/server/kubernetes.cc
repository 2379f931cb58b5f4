#include "headroom/server/kubernetes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "headroom/cache/options.h"
#include "headroom/edge/options.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/server/options.h"
#include "headroom/sql/options.h"
#include "headroom/tasks/options.h"

namespace headroom::server {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kOtherMemoryMib = 256;  // beside the cache: connections, code, buffers
constexpr Duration kLeastDrain =
    5s;  // a Service goes on sending for some seconds after a pod was told to end
constexpr std::uint64_t kGraceSeconds = 10;  // beyond the settings' own deadlines

// A JSON string is a YAML string, and nothing else.
std::string quoted(std::string_view text) {
  std::string out;
  json::append_string(out, text);
  return out;
}

// A text of several lines as people read it (a literal block), where such a block gives it back exactly; else in quotes.
std::string block(std::string_view text, std::size_t indent) {
  const bool plain =
      std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
  if (!plain || !text.ends_with('\n') || text.ends_with("\n\n") || text == "\n")
    return quoted(text);
  std::string out = "|2\n";  // the indentation is said, as the first line may begin with spaces
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end > 0) out += std::string(indent + 2, ' ') + std::string(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!text.empty()) out += '\n';
  }
  return out;
}

std::string variable_of(std::string_view path) {
  std::string name = "HEADROOM_" + std::string(path);
  for (char& c : name)
    c = c == '.' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return name;
}

// A value as the environment spells it; nothing for what it cannot.
std::optional<std::string> environment_text(const std::string& json) {
  auto document = json::parse(json);
  if (!document) return std::nullopt;
  const json::Value value = document->root();
  if (value.kind() == json::Kind::string) return std::string(*value.string());
  if (value.kind() == json::Kind::object) return std::nullopt;
  if (value.kind() != json::Kind::array) return value.text();
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto item = value.item(i).string();
    if (!item || item->contains(',')) return std::nullopt;
    out += (i == 0 ? "" : ",") + std::string(*item);
  }
  return out;
}

bool hides_something(const config::Entry& entry) {
  return (entry.secret && entry.json != "\"\"") || entry.json.contains("***");
}

struct Port {
  std::string_view name;
  std::uint16_t number;
};

class Manifests {
 public:
  Manifests(const config::Settings& settings, const std::optional<config::Document>& file)
      : settings_(settings), file_(file) {}

  Result<std::string> written() {
    gather();
    if (options().app_image.empty())
      refusals_.push_back(
          "server.kubernetes.app_image: which image runs your app? --set "
          "server.kubernetes.app_image=registry/app:1.2");
    if (!refusals_.empty())
      return fail(Errc::invalid, fmt::format("{}", fmt::join(refusals_, "\n")));
    space();
    if (file_ && secrets_of_file_.empty()) config_map();
    headroom();
    app();
    if (options().auto_scaling) autoscaler();
    budget();
    return std::move(out_);
  }

 private:
  [[nodiscard]] const KubernetesOptions& options() const {
    return settings_.get<ServerOptions>().kubernetes;
  }

  // The pod's variables: where the doors are in a pod, then what the environment and flags said here.
  void gather() {
    const auto& sql = settings_.get<sql::SqlOptions>();
    const auto& edge = settings_.get<edge::EdgeOptions>();
    const auto& server = settings_.get<ServerOptions>();
    set("server.state_dir",
        "/var/lib/headroom/state");  // below the volume, whose own folder belongs to its driver
    set("edge.listen", ":8080");
    set("admin.listen", ":9090");
    ports_ = {{"http", 8080}, {"admin", 9090}};
    if (edge.app.empty() && edge.upstreams.empty())
      set("edge.app", fmt::format("http://app:{}", options().app_port));
    if (sql.enabled && sql.configured()) {
      set("sql.listen", ":6432");
      ports_.push_back({"postgres", 6432});
    }
    if (const auto& tasks = settings_.get<tasks::TasksOptions>();
        tasks.enabled && !tasks.password.empty()) {
      set("tasks.listen", ":7419");
      ports_.push_back({"tasks", 7419});
    }
    drain_ = std::max(server.drain_delay, kLeastDrain);
    set("server.drain_delay", config::Value<Duration>::show(drain_));
    for (const config::Entry& entry : settings_.entries()) take(entry);
  }

  void set(std::string_view path, std::string_view value) {
    fixed_.emplace_back(path);
    environment_ += fmt::format("            - name: {}\n              value: {}\n",
                                variable_of(path), quoted(value));
  }

  void take(const config::Entry& entry) {
    using Kind = config::Origin::Kind;
    if (entry.origin.kind == Kind::standard ||
        std::ranges::find(fixed_, entry.path) != fixed_.end() ||
        entry.path.starts_with("server.kubernetes."))
      return;
    if (entry.origin.kind == Kind::file) {
      if (hides_something(entry)) secrets_of_file_.push_back(entry.path);
      return;
    }
    const std::string variable = variable_of(entry.path);
    if (hides_something(entry)) {
      secret_keys_.push_back(variable);
      environment_ += fmt::format(
          "            - name: {0}\n              valueFrom: {{ secretKeyRef: {{ name: headroom, "
          "key: {0} }} }}\n",
          variable);
      return;
    }
    const auto text = environment_text(entry.json);
    if (!text || entry.path.contains('['))
      refusals_.push_back(
          fmt::format("{}: {} cannot be told by the environment: write it in the settings file",
                      entry.origin.where, entry.path));
    else
      environment_ +=
          fmt::format("            - name: {}\n              value: {}\n", variable, quoted(*text));
  }

  [[nodiscard]] std::string metadata(std::string_view name) const {
    return fmt::format(
        "metadata:\n  name: {}\n  namespace: {}\n  labels: {{ app.kubernetes.io/name: {}, "
        "app.kubernetes.io/part-of: headroom }}\n",
        name, quoted(options().name_space), name);
  }

  void space() {
    out_ += fmt::format(
        "# Written by `headroom export kubernetes`; kubectl apply -f FILE. docs/operations.md "
        "tells more.\n{}"
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n",
        before_it(), quoted(options().name_space));
  }

  // What must be there first: the Secret that the pod takes its secrets from, whole.
  [[nodiscard]] std::string before_it() const {
    if (secrets_of_file_.empty() && secret_keys_.empty()) return {};
    const std::string space = quoted(options().name_space);
    std::string text;
    if (!secrets_of_file_.empty())
      text += fmt::format("# The settings file holds secrets ({}), so it is not in here.\n",
                          fmt::join(secrets_of_file_, ", "));
    text += fmt::format(
        "# Before:\n#   kubectl create namespace {0}\n"
        "#   kubectl create secret generic headroom -n {0}",
        space);
    if (!secrets_of_file_.empty()) text += " --from-file=headroom.toml=FILE";
    for (const std::string& key : secret_keys_) text += fmt::format(" --from-literal={}=...", key);
    return text + "\n";
  }

  // A file with a secret in it is written nowhere: the pod takes it from the Secret that the operator makes.
  [[nodiscard]] std::string settings_volume() const {
    if (!file_) return {};
    return fmt::format(
        "            - {{ name: settings, mountPath: /etc/headroom, readOnly: true }}\n"
        "      volumes:\n        - {{ name: settings, {} }}\n",
        secrets_of_file_.empty() ? "configMap: { name: headroom }"
                                 : "secret: { secretName: headroom, items: [{ key: headroom.toml, "
                                   "path: headroom.toml }] }");
  }

  void config_map() {
    out_ += fmt::format("---\napiVersion: v1\nkind: ConfigMap\n{}data:\n  headroom.toml: {}\n",
                        metadata("headroom"), block(file_->text, 2));
  }

  void headroom() {
    std::string container_ports;
    std::string public_port;
    std::string internal_ports;
    for (const Port& port : ports_) {
      container_ports +=
          fmt::format("            - {{ name: {}, containerPort: {} }}\n", port.name, port.number);
      const bool for_all = port.name == "http";
      (for_all ? public_port : internal_ports) +=
          fmt::format("    - {{ name: {0}, port: {1}, targetPort: {0} }}\n", port.name,
                      for_all ? 80 : port.number);
    }
    const auto& server = settings_.get<ServerOptions>();
    const auto grace =
        static_cast<std::uint64_t>(seconds(drain_) + seconds(server.shutdown_timeout)) +
        kGraceSeconds;
    const std::uint64_t memory =
        settings_.get<cache::CacheOptions>().memory_limit.count / kMiB + kOtherMemoryMib;
    out_ += fmt::format(R"(---
# The address of the app for everybody: put an Ingress or a load balancer in front, or set type: LoadBalancer.
apiVersion: v1
kind: Service
{}spec:
  selector: {{ app.kubernetes.io/name: headroom }}
  ports:
{})",
                        metadata("headroom"), public_port);
    out_ += fmt::format(R"(---
# Administration, metrics and what the app alone asks for: within the cluster only, whatever is put in front of the other one.
apiVersion: v1
kind: Service
{}spec:
  type: ClusterIP
  selector: {{ app.kubernetes.io/name: headroom }}
  ports:
{})",
                        metadata("headroom-internal"), internal_ports);
    out_ += fmt::format(
        R"(---
# One replica: what it keeps (tokens, jobs, trends) is not shared between nodes. A StatefulSet never runs two of it at once.
apiVersion: apps/v1
kind: StatefulSet
{0}spec:
  replicas: 1
  serviceName: headroom
  selector: {{ matchLabels: {{ app.kubernetes.io/name: headroom }} }}
  template:
    metadata:
      labels: {{ app.kubernetes.io/name: headroom }}
      annotations: {{ prometheus.io/scrape: "true", prometheus.io/port: "9090" }}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {1}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: {{ type: RuntimeDefault }}
      containers:
        - name: headroom
          image: {2}
          args: [serve{3}]
          env:
{4}          ports:
{5}          startupProbe: {{ httpGet: {{ path: /startupz, port: admin }}, periodSeconds: 2, failureThreshold: 30 }}
          livenessProbe: {{ httpGet: {{ path: /livez, port: admin }}, periodSeconds: 10, timeoutSeconds: 2 }}
          readinessProbe: {{ httpGet: {{ path: /readyz, port: admin }}, periodSeconds: 2, timeoutSeconds: 2 }}
          resources:
            requests: {{ cpu: {6}, memory: {7}Mi }}
            limits: {{ memory: {8}Mi }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{ drop: [ALL] }}
          volumeMounts:
            - {{ name: state, mountPath: /var/lib/headroom }}
{9}  volumeClaimTemplates:
    - metadata: {{ name: state }}
      spec:
        accessModes: [ReadWriteOnce]
        resources: {{ requests: {{ storage: {10} }} }}
)",
        metadata("headroom"), grace, quoted(options().image),
        file_ ? ", --config, /etc/headroom/headroom.toml" : "", environment_, container_ports,
        quoted(options().cpu), memory, 2 * memory, settings_volume(), quoted(options().storage));
  }

  void app() {
    out_ += fmt::format(R"(---
apiVersion: v1
kind: Service
{}spec:
  selector: {{ app.kubernetes.io/name: app }}
  ports:
    - {{ name: http, port: {}, targetPort: http }}
---
# The app. The autoscaler owns the number of replicas where there is one, so none is said here.
apiVersion: apps/v1
kind: Deployment
)",
                        metadata("app"), options().app_port);
    out_ += metadata("app") + "spec:\n";
    if (!options().auto_scaling) out_ += fmt::format("  replicas: {}\n", options().min_replicas);
    out_ += fmt::format(
        R"(  strategy: {{ type: RollingUpdate, rollingUpdate: {{ maxUnavailable: 0, maxSurge: 1 }} }}
  selector: {{ matchLabels: {{ app.kubernetes.io/name: app }} }}
  template:
    metadata:
      labels: {{ app.kubernetes.io/name: app }}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {{ matchLabels: {{ app.kubernetes.io/name: app }} }}
      containers:
        - name: app
          image: {0}
          envFrom:
            - secretRef: {{ name: app, optional: true }}
          ports:
            - {{ name: http, containerPort: {1} }}
          # It still answers while its address is taken out of the Service (sleep: Kubernetes 1.30 and later).
          lifecycle: {{ preStop: {{ sleep: {{ seconds: 10 }} }} }}
          startupProbe: {{ httpGet: {{ path: {2}, port: http }}, periodSeconds: 2, failureThreshold: 60 }}
          readinessProbe: {{ httpGet: {{ path: {2}, port: http }}, periodSeconds: 5, timeoutSeconds: 3 }}
          resources:
            requests: {{ cpu: {3}, memory: {4} }}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {{ drop: [ALL] }}
)",
        quoted(options().app_image), options().app_port, quoted(options().app_health),
        quoted(options().app_cpu), quoted(options().app_memory));
  }

  void autoscaler() {
    out_ += fmt::format(R"(---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
{}spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: app }}
  minReplicas: {}
  maxReplicas: {}
  metrics:
    - type: Resource
      resource: {{ name: cpu, target: {{ type: Utilization, averageUtilization: {} }} }}
    - type: Resource
      resource: {{ name: memory, target: {{ type: Utilization, averageUtilization: {} }} }}
  behavior:
    scaleDown: {{ stabilizationWindowSeconds: 300, policies: [{{ type: Percent, value: 50, periodSeconds: 60 }}] }}
)",
                        metadata("app"), options().min_replicas, options().max_replicas,
                        options().target_cpu_percent, options().target_memory_percent);
  }

  void budget() {
    out_ += fmt::format(R"(---
apiVersion: policy/v1
kind: PodDisruptionBudget
{}spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: {{ matchLabels: {{ app.kubernetes.io/name: app }} }}
)",
                        metadata("app"));
  }

  const config::Settings& settings_;
  const std::optional<config::Document>& file_;
  std::vector<std::string> fixed_;
  std::vector<std::string> refusals_;
  std::vector<std::string> secrets_of_file_;  // settings
  std::vector<std::string> secret_keys_;      // variables
  std::vector<Port> ports_;
  std::string environment_;
  Duration drain_{};
  std::string out_;
};

}  // namespace

Result<std::string> kubernetes_manifests(const config::Settings& settings,
                                         const std::optional<config::Document>& file) {
  return Manifests(settings, file).written();
}

int export_kubernetes(const SettingsRequest& request) {
  constexpr int kBadSettings = 2;
  const auto refuse = [](const Error& error) {
    fmt::print(stderr, "{}\n", error.message);
    return kBadSettings;
  };
  auto settings = load_settings(request);
  if (!settings) return refuse(settings.error());
  std::optional<config::Document> file;
  if (const std::string name = settings_file(request); !name.empty()) {
    auto document = config::read_document(name);
    if (!document) return refuse(document.error());
    file = std::move(*document);
  }
  auto text = kubernetes_manifests(**settings, file);
  if (!text) return refuse(text.error());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

}  // namespace headroom::server
