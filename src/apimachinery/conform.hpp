// What a decoder found that isn't fatal by itself; texts as clients of upstream know them.
#pragma once
#include <onebin/apimachinery/codec.hpp>

#include "json_path.hpp"

namespace onebin::apimachinery {

class Problems {
 public:
  Problems(const DecodeOptions& options, DecodeReport* report) : strict_(options.validation == FieldValidation::Strict), report_(report) {
    if (!report_) report_ = &own_;
    wanted_ = options.validation != FieldValidation::Ignore;
  }
  void unknown(const JsonPath& path) { add("unknown field", path); }
  void duplicate(const JsonPath& path) { add("duplicate field", path); }
  void other(std::string text) {
    if (wanted_) push(std::move(text));
  }
  // Under Strict an error when there were any.
  Status verdict() const {
    if (!strict_ || report_->problems.empty()) return {};
    std::string text = "strict decoding error: ";
    for (std::size_t i = 0; i < report_->problems.size(); ++i) text += (i == 0 ? "" : ", ") + report_->problems[i];
    return bad_request(text);
  }

 private:
  static constexpr std::size_t kMost = 100;
  void add(std::string_view what, const JsonPath& path) {
    if (wanted_) push(std::string(what) + " \"" + path.text() + "\"");
  }
  void push(std::string text) {
    if (report_->problems.size() >= kMost) report_->truncated = true;
    else report_->problems.push_back(std::move(text));
  }
  bool strict_, wanted_ = true;
  DecodeReport* report_;
  DecodeReport own_;
};

}  // namespace onebin::apimachinery
