// registries.yaml, as k3s users write it: mirrors and configs by registry host.
#pragma once
#include <onebin/engine/runc_engine.hpp>

namespace onebin::agent {

// An absent file is no configuration. Errors name the file and the key.
Result<engine::RegistriesConfig> read_registries(const std::string& path);

}  // namespace onebin::agent
