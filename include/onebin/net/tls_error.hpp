// What an error of dialling by TLS means to whoever dialled.
#pragma once
#include <onebin/base/status.hpp>

namespace onebin::net {

// The server's certificate comes from none of the authorities that the TlsClientConfig trusts: trying again mends nothing.
// One that is not valid yet is no such error: this host's clock may still be wrong.
bool is_unknown_authority(const Status& status);

}  // namespace onebin::net
