// What OpenAPI documents say of built-in types beyond what the schema tables hold.
#pragma once
#include <cstdint>

namespace onebin::apimachinery {
struct TypeSchema;

// What is published of a built-in type's field and validation does not need to know, or has otherwise.
struct PublishedField {
  enum Fact : std::uint8_t {
    kNotRequired = 1,    // required by a rule that is not part of the published schema
    kNoDefault = 2,      // the default is not part of it
    kDiscriminator = 4,  // of the union that the type is
    kUnion = 8,          // any field of a type that is a union
    kZeroDefault = 16,   // the default is the zero value, and said
    kNoEnum = 32,        // the values are not part of it
    kRequired = 64,      // required, which a kind's strategy checks
  };
  const TypeSchema* type = nullptr;
  std::uint16_t field = 0;
  std::uint8_t facts = 0;
};

}  // namespace onebin::apimachinery
