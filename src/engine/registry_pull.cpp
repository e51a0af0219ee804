#include "engine/engine_impl.hpp"
namespace onebin::engine {
async::Task<Result<ImageInfo>> RuncEngine::pull_image(std::string, RegistryCredentials, ProgressFn) { co_return internal_error("pulling from a registry is not supported yet: import the image"); }
}
