// What a Job's spec may say, by itself and in a CronJob's template; and a CronJob's schedule.
#pragma once
#include "apiserver/registry/strategy.hpp"

#include <optional>

namespace onebin::apiserver {

void validate_job_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
// Why a text is no schedule; none where it is one. Five fields, @hourly and the like, or "@every 1h".
std::optional<std::string> schedule_problem(std::string_view schedule);
void validate_time_zone(const Document& spec, const FieldPath& path, FieldErrors& errors);

}  // namespace onebin::apiserver
