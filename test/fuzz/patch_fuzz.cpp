// modules: apimachinery
// Patches from outside: none may crash. The input is a JSON array [target, patch], or else bytes that pick documents out of
// a small vocabulary, which gets deeper than chance would.
#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/apimachinery/managed_fields.hpp>
#include <onebin/apimachinery/merge_patch.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/strategic_merge_patch.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

// A small kind with everything that patches tell apart.
const TypeSchema& kind() {
  static SchemaArena arena;
  static const TypeSchema* type = [] {
    auto field = [](const char* name, FieldKind k, Cardinality c, std::uint16_t number) {
      FieldSchema f;
      f.json_name = name;
      f.kind = k;
      f.cardinality = c;
      f.proto_number = number;
      f.omitempty = true;
      return f;
    };
    static const std::vector<std::string> kKeys = {"name"};
    FieldRules by_name;
    by_name.patch_strategy = PatchStrategy(kPatchMerge | kPatchRetainKeys);
    by_name.patch_merge_key = "name";
    by_name.list_map_keys = arena.keep(kKeys);
    FieldRules scalars;
    scalars.patch_strategy = kPatchMerge;
    auto* item = arena.declare("Item");
    auto nested = field("items", FieldKind::Message, Cardinality::List, 3);
    nested.message = item;
    nested.list_type = ListType::Map;
    nested.rules = arena.keep(by_name);
    arena.define(item, {field("name", FieldKind::String, Cardinality::Single, 1), field("n", FieldKind::Int32, Cardinality::Optional, 2), nested});
    auto set = field("set", FieldKind::String, Cardinality::List, 2);
    set.list_type = ListType::Set;
    set.rules = arena.keep(scalars);
    auto one = field("one", FieldKind::Message, Cardinality::Single, 5);
    one.message = item;
    one.omitempty = false;
    auto* root = arena.declare("Kind");
    auto items = nested;
    items.proto_number = 1;
    arena.define(root, {field("apiVersion", FieldKind::String, Cardinality::Single, 6), field("kind", FieldKind::String, Cardinality::Single, 7),
                        field("metadata", FieldKind::RawExtension, Cardinality::Single, 8), items, set,
                        field("map", FieldKind::String, Cardinality::Map, 3), field("any", FieldKind::RawExtension, Cardinality::Single, 4), one});
    return root;
  }();
  return *type;
}

struct Picker {
  const std::uint8_t* at;
  const std::uint8_t* end;
  unsigned pick(unsigned n) { return at < end ? *at++ % n : 0; }

  Document value(int depth) {
    static const char* const kTexts[] = {"x", "y", "z", "", "replace", "delete", "merge", "name", "items"};
    switch (pick(depth > 4 ? 5 : 9)) {
      case 0: return nullptr;
      case 1: return pick(3);
      case 2: return kTexts[pick(9)];
      case 3: return pick(2) == 1;
      case 4: return 1.5;
      case 5: case 6: return list(depth);
      default: return object(depth);
    }
  }
  Document list(int depth) {
    Document out = Document::array();
    for (unsigned n = pick(4); n > 0; --n) out.push_back(value(depth + 1));
    return out;
  }
  Document object(int depth) {
    static const char* const kNames[] = {"name", "n", "items", "set", "map", "any", "one", "k", "metadata", "$patch", "$retainKeys",
                                         "$setElementOrder/items", "$setElementOrder/set", "$deleteFromPrimitiveList/set"};
    static const char* const kWords[] = {"a", "b", "c"};
    Document out = Document::object();
    for (unsigned n = pick(5); n > 0; --n) {
      const std::string name = kNames[pick(depth < 0 ? 9 : 14)];
      // Mostly what belongs there, so that the patch is not refused at once.
      if (name == "items" && pick(4)) {
        auto& list = out[name] = Document::array();
        for (unsigned m = pick(4); m > 0; --m) {
          list.push_back(object(depth + 1));
          if (pick(5)) list.back()["name"] = kWords[pick(3)];
        }
      } else if ((name == "set" || name == "$deleteFromPrimitiveList/set" || name == "$setElementOrder/set") && pick(4)) {
        auto& list = out[name] = Document::array();
        for (unsigned m = pick(4); m > 0; --m) list.push_back(kWords[pick(3)]);
      } else if (name == "name" && pick(4)) {
        out[name] = kWords[pick(3)];
      } else {
        out[name] = value(depth + 1);
      }
    }
    return out;
  }
};

void apply(const TypeSchema* type, const Document& live, Document configuration) {
  ManagedResource r;
  r.api_version = "v1";
  r.kind = "K";
  r.type = type;
  if (!configuration.is_object()) return;
  configuration["apiVersion"] = "v1";
  configuration["kind"] = "K";
  auto once = server_side_apply(r, live.is_object() ? &live : nullptr, configuration, "m", true, from_unix(0));
  if (!once) return;
  (void)server_side_apply(r, &*once, configuration, "m", true, from_unix(0));
  Document updated = live;
  if (updated.is_object()) track_update(r, &*once, updated, "u", from_unix(0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Document target, patch;
  if (size > 0 && data[0] == '[') {
    int depth = 0;
    for (std::size_t i = 0; i < size; ++i) {
      depth += data[i] == '[' || data[i] == '{' ? 1 : data[i] == ']' || data[i] == '}' ? -1 : 0;
      if (depth > 64) return 0;  // the decoders' bound
    }
    auto input = Document::parse(data, data + size, nullptr, false);
    if (!input.is_array() || input.size() < 2) return 0;
    target = input[0];
    patch = input[1];
  } else {
    Picker picker{data, data + size};
    target = picker.object(-1);
    patch = picker.object(0);
  }
  (void)apply_json_patch(target, patch);
  Document merged = apply_merge_patch(target, patch);
  if (target.is_object() && merged.is_object()) (void)create_merge_patch(target, merged);
  if (target.is_object()) (void)apply_strategic_merge_patch(kind(), target, patch);
  (void)validate_schema(kind(), target, &merged);
  apply(&kind(), target, patch);
  apply(nullptr, target, patch);
  return 0;
}
