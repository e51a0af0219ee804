// What the tables of test/cel are evaluated against: a custom resource with every kind of property, and an object of no schema.
#pragma once
#include "cel/opaque.hpp"
#include "cel/text_forms.hpp"

#include <onebin/cel/program.hpp>

#include <algorithm>
#include <string>

namespace onebin::cel {

inline const char* const kFixtureSchema = R"({"type":"object","properties":{"spec":{"type":"object","required":["replicas"],"properties":{
"replicas":{"type":"integer"},"minReplicas":{"type":"integer"},"name":{"type":"string","maxLength":20},"free":{"type":"string"},
"ratio":{"type":"number"},"flag":{"type":"boolean"},"when":{"type":"string","format":"date-time"},"day":{"type":"string","format":"date"},
"howlong":{"type":"string","format":"duration"},"data":{"type":"string","format":"byte"},"port":{"x-kubernetes-int-or-string":true},
"namespace":{"type":"string"},"a-b":{"type":"string"},"x__y":{"type":"string"},"maybe":{"type":"string","nullable":true},
"opaque":{"x-kubernetes-preserve-unknown-fields":true},"list":{"type":"array","items":{"type":"integer"},"maxItems":10},
"names":{"type":"array","items":{"type":"string","maxLength":5},"maxItems":4},
"set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
"conds":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["type"],"items":{"type":"object","required":["type"],
  "properties":{"type":{"type":"string"},"status":{"type":"string"},"count":{"type":"integer"}}}},
"map":{"type":"object","additionalProperties":{"type":"string"}},
"counts":{"type":"object","additionalProperties":{"type":"integer"},"maxProperties":5},
"color":{"type":"string","enum":["red","green"]}}}}})";
inline const char* const kFixtureSelf = R"({"apiVersion":"stable.example.com/v1","kind":"Foo","metadata":{"name":"foo","generateName":"f"},
"spec":{"replicas":3,"minReplicas":1,"name":"häuser","free":"hello world","ratio":2,"flag":true,"when":"2023-07-14T10:30:45.123Z",
"day":"2021-01-01","howlong":"1h30m","data":"aGVsbG8=","port":"80%","namespace":"ns","a-b":"dash","x__y":"under","maybe":null,"opaque":{"z":[1,2]},
"list":[3,1,2],"names":["a","bb","ccc"],"set":["x","y"],"conds":[{"type":"Ready","status":"True","count":1},{"type":"Ok","status":"False"}],
"map":{"k1":"v1","k2":"v2"},"counts":{"one":1,"two":2},"color":"red"}})";
inline const char* const kFixtureObject = R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default",
"labels":{"app":"web","k8s.io/x":"1"},"annotations":{}},"spec":{"n":5,"d":1.5,"t":true,"nothing":null,
"containers":[{"name":"c1","image":"nginx:1","ports":[{"containerPort":80}]},{"name":"c2","image":"redis"}],"strs":["a","b"]}})";

struct Fixture {
  Document schema = Document::parse(kFixtureSchema), self = Document::parse(kFixtureSelf), object = Document::parse(kFixtureObject);
  Schemas schemas;
  Environment environment;
  Variables values;

  Fixture() {
    const Schema* type = schemas.from_openapi(schema, true, "selfType");
    environment.declare("self", type->type, type);
    environment.declare("object", &types::dyn);
    environment.declare("objects", schemas.list_of(&types::dyn));
    environment.allow_patches();
    values.set("self", Value::of(self, type));
    values.set("object", Value::of(object));
    values.set("objects", Value::list({Value::of(object), Value::of(object)}));
  }
};

// A value as the tables write it.
inline std::string show(const Value& v) {
  auto joined = [](std::vector<std::string> parts, char open, char close) {
    std::string out(1, open);
    for (std::size_t i = 0; i < parts.size(); ++i) out += (i ? ", " : "") + parts[i];
    return out + close;
  };
  switch (v.kind()) {
    case ValueKind::Null: return "null";
    case ValueKind::Bool: return v.is_true() ? "true" : "false";
    case ValueKind::Int: return std::to_string(v.as_int());
    case ValueKind::Uint: return std::to_string(v.as_uint()) + "u";
    case ValueKind::Double: return "double(" + format_g(v.as_double()) + ")";
    case ValueKind::String: return Document(std::string(v.text())).dump();
    case ValueKind::Bytes: {
      static const char* const kDigits = "0123456789abcdef";
      std::string out = "b";
      for (unsigned char c : v.text()) out += {kDigits[c >> 4], kDigits[c & 15]};
      return out;
    }
    case ValueKind::Timestamp: return "timestamp(" + format_timestamp(v.as_int(), v.nanos(), v.offset_minutes()) + ")";
    case ValueKind::Duration: return "duration(" + format_seconds(v.as_int()) + ")";
    case ValueKind::Optional: return v.has_optional() ? "optional(" + show(v.optional_value()) + ")" : "none";
    case ValueKind::Type: return "type(" + v.as_type()->name + ")";
    case ValueKind::List: {
      std::vector<std::string> parts;
      for (std::size_t i = 0; i < v.size(); ++i) parts.push_back(show(v.at(i)));
      return joined(std::move(parts), '[', ']');
    }
    case ValueKind::Map: {
      std::vector<std::string> parts;
      for (const auto& key : v.keys()) {
        Value member;
        v.find(key, member);
        parts.push_back(show(key) + ": " + show(member));
      }
      std::sort(parts.begin(), parts.end());
      return joined(std::move(parts), '{', '}');
    }
    case ValueKind::Quantity: return "quantity(" + opaque_text(v) + ")";
    case ValueKind::Url: return "url(" + opaque_text(v) + ")";
    case ValueKind::Ip: return "ip(" + opaque_text(v) + ")";
    case ValueKind::Cidr: return "cidr(" + opaque_text(v) + ")";
    case ValueKind::Format: return "format(" + opaque_text(v) + ")";
    case ValueKind::Semver: return "semver(" + opaque_text(v) + ")";
    default: return "?" + v.type_of().name;
  }
}

}  // namespace onebin::cel
