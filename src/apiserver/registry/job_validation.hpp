// What a Job's spec may say, by itself and in a CronJob's template; and a CronJob's time zone.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

void validate_job_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
void validate_time_zone(const Document& spec, const FieldPath& path, FieldErrors& errors);

// Of an update of the status.
void validate_job_status(const Document& job, const Document& old, FieldErrors& errors);
// Why "1,3-5" is no list of indexes below completions.
std::optional<std::string> index_problem(std::string_view text, std::int64_t completions);
// The first index that two such lists share.
std::optional<std::int64_t> common_index(std::string_view a, std::string_view b, std::int64_t completions);

}  // namespace onebin::apiserver
