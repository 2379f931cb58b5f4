// headroom/server/kubernetes.h - `headroom export kubernetes`: the settings as manifests for kubectl apply.
//
// What: a namespace; Headroom as one replica with its state on a volume (its state is not shared between nodes yet); the app as a Deployment
//   behind a Service, scaled by a HorizontalPodAutoscaler, with a disruption budget. The settings file becomes a ConfigMap, or, where it holds
//   a secret, is taken from the Secret "headroom"; what comes from the environment or flags becomes variables of the pod.
// Owns: nothing. Worker and threads: main's.
// Invariants: (1) no secret is written: a file with one and a secret of the environment become references to the Secret "headroom";
//   (2) what a user's setting says stands in quotes: it cannot become another part of a manifest.
#pragma once

#include <memory>
#include <string>

#include "headroom/config/config.h"
#include "headroom/server/settings.h"

namespace headroom::server {

// `file`: the settings file, if there is one. Errc::invalid for what cannot be exported, with all of it.
[[nodiscard]] Result<std::string> kubernetes_manifests(const config::Settings& settings,
                                                       const std::optional<config::Document>& file);

// The command: prints them.
[[nodiscard]] int export_kubernetes(const SettingsRequest& request);

}  // namespace headroom::server
