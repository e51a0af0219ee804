// CustomStrategy: what custom resources add to the generic path. Source: behaviour of k8s.io/apiextensions-apiserver's
// registry of custom resources.
#pragma once
#include "apiserver/crd/custom_kind.hpp"

namespace onebin::apiserver {

class CustomStrategy final : public Strategy {
 public:
  CustomStrategy(const KindSchema& kind, const CustomKind& custom);  // both outlive it

  void apply_defaults(Document& object) const override;
  void prepare_for_create(WriteContext& c, Document& object) const override;
  void prepare_for_update(WriteContext& c, Document& object, const Document& old) const override;
  void validate(WriteContext& c, const Document& object, FieldErrors& errors) const override;
  void validate_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const override;
  void prepare_for_status_update(WriteContext& c, Document& object, const Document& old) const override;
  void validate_status_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const override;
  void warnings_on_create(WriteContext& c, const Document& object) const override;
  void warnings_on_update(WriteContext& c, const Document& object, const Document& old) const override;
  const std::vector<apimachinery::TableColumn>& columns() const override;
  Document cells(const Document& object, WallTime now) const override;

 private:
  void validate_values(WriteContext& c, const Document& object, const Document* old, FieldErrors& errors) const;
  void validate_rules(WriteContext& c, const Document& object, const Document* old, FieldErrors& errors) const;
  void validate_scale(const Document& object, bool spec, FieldErrors& errors) const;

  const CustomKind& custom_;
};

}  // namespace onebin::apiserver
