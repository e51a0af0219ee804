// How webhooks are reached: of admission, and of conversion.
#pragma once
#include "apiserver/registry/check.hpp"

namespace onebin::apiserver {

void check_webhook_url(const Check& url);
void check_webhook_service(const Check& service);

}  // namespace onebin::apiserver
