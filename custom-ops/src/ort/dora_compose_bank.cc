#include "ort/bank.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kX, kBase, kBias = kAfterBank };

std::vector<Shape> Infer(const Attributes& attributes, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  check.ExpectLast("x", inputs[kX], "in");
  check.ExpectLast("base", inputs[kBase], "out");
  check.Expect("bias", inputs[kBias], {"out"});
  CheckBank(check, attributes, inputs);
  if (inputs[kX].has_value() && inputs[kBase].has_value()) {
    Dims rows = *inputs[kX], base_rows = *inputs[kBase];
    rows.pop_back(), base_rows.pop_back();
    check.ExpectEqual("base, all but its last size", base_rows, "x", rows);
  }
  return {inputs[kBase]};
}

void Compute(const CpuKernels& kernels, Run& run) {
  const DoraComposeBankProblem p = ComposeBankProblem(run);
  CheckSlots(p.adapters);
  kernels.dora_compose_bank(p, run.parallel());
}

}  // namespace

DoraComposeBankProblem ComposeBankProblem(Run& run) {
  const Dims& x = run.shape(kX);
  DoraComposeBankProblem p;
  p.x = run.inputs[kX].data;
  p.base = run.inputs[kBase].data;
  p.bias = run.inputs[kBias].data;
  p.dtype = run.types.T;
  p.rows = RowsOf(x);
  p.in = x.back().size;
  p.channels = run.shape(kBase).back().size;
  p.base_has_bias = run.attributes.base_has_bias;
  p.adapters = BankOf(run, p.rows);
  p.out = run.output(0);
  return p;
}

const OpDefinition& DoraComposeBankOp() {
  static const auto& definition = *new OpDefinition{"DoraComposeBank",
                                                    PortsAround({"x", Type::kT}, {"base", Type::kT}, {"bias", Type::kT, true}),
                                                    {{"y", Type::kT}},
                                                    {{"base_has_bias", &Attributes::base_has_bias}},
                                                    /*has_axis=*/false,
                                                    Infer,
                                                    Compute,
                                                    BankAttributes(),
                                                    /*has_scaling=*/false};
  return definition;
}

}  // namespace ort_dora
