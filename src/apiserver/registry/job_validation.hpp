// What a Job's spec may say, by itself and in a CronJob's template; and a CronJob's time zone.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

void validate_job_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
void validate_time_zone(const Document& spec, const FieldPath& path, FieldErrors& errors);

}  // namespace onebin::apiserver
