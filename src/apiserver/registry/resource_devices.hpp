// Devices as a driver offers them in a ResourceSlice.
#pragma once
#include "apiserver/registry/check.hpp"

#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/time.hpp>

#include <initializer_list>
#include <string>
#include <vector>

namespace onebin::apiserver {

// No item, or its member `key`, comes twice.
void check_unique(const Check& list, const char* key);
// No two items are the same in all of `keys`; the second of them is told of as a whole.
void check_unique_items(const Check& list, std::initializer_list<const char*> keys);
// Conditions of a device, or of a result, that a pod waits for, and those that end its waiting: both or neither.
void check_binding(const Check& holder);
// Exactly one of several ways to say which nodes; names of those that are set, in backquotes.
std::vector<std::string> node_selection(const Check& at, std::initializer_list<const char*> flags, const char* empty_name);
void check_taint(const Check& taint);
void check_counters(const Check& counters);
// When a taint was added is now where the client does not say it: a default of ResourceSlices and DeviceTaintRules.
void stamp_device_taints(const apimachinery::KindSchema& kind, Check::Document& object, WallTime now);
// `old`: the device of that name that there was.
void check_device(const Check& device, const apimachinery::TypeSchema& type, const Check::Document* old, bool selects_nodes);

}  // namespace onebin::apiserver
