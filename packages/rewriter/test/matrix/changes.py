"""Changes to exported graphs that leave DoRA what it is: what other tools make of such files."""

import onnx
from onnx import TensorProto, helper, numpy_helper

ADAPTER_NAMES = ("lora_A", "lora_B", "lora_magnitude_vector")


class NotApplicable(Exception):
    """The graph has nothing to change in this way."""


def initializers_as_constants(model):
    graph = model.graph
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer]
    replace_nodes(graph, [*constants, *graph.node])
    del graph.initializer[:]


def adapters_as_inputs(model, shape_of=lambda tensor: list(tensor.dims)):
    graph = model.graph
    for tensor in adapter_initializers(graph):
        graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, shape_of(tensor)))
        graph.initializer.remove(tensor)


def adapters_as_inputs_of_any_rank(model):
    def shape(tensor):
        dims = list(tensor.dims)
        if "lora_A" in tensor.name:
            return ["r", dims[1]]
        return [dims[0], "r"] if "lora_B" in tensor.name else dims

    for info in list(model.graph.value_info):
        model.graph.value_info.remove(info)
    adapters_as_inputs(model, shape)


def adapters_as_overridable(model):
    graph = model.graph
    for tensor in adapter_initializers(graph):
        graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


def weight_through_identity(model):
    """The norm reads W through Identity nodes, as constant folding leaves shared weights."""
    graph = model.graph
    nodes = []
    for node in graph.node:
        if node.op_type == "ReduceL2":
            total = behind_casts(graph, node.input[0])
            index = next(i for i, value in enumerate(total.input) if not reaches(graph, value, "Mul", 2))
            nodes.append(helper.make_node("Identity", [total.input[index]], [f"{total.input[index]}.same"]))
            at = next(i for i, kept in enumerate(nodes) if kept.output[0] == total.output[0])
            nodes.insert(at, nodes.pop())
            total.input[index] = nodes[at].output[0]
        nodes.append(node)
    replace_nodes(graph, nodes)


def norm_as_mul(model):
    expand_norms(model, lambda x, out: [helper.make_node("Mul", [x, x], [out])])


def norm_as_pow(model):
    two = numpy_helper.from_array(__import__("numpy").array(2.0, dtype="float32"), "two.exponent")
    model.graph.initializer.append(two)
    expand_norms(model, lambda x, out: [helper.make_node("Pow", [x, "two.exponent"], [out])])


def norm_as_sum_square(model):
    expand_norms(model, None)


def norm_in_float64(model):
    """As the function of ReduceL2 in the ONNX standard expands: the root is taken in float64."""
    expand_norms(model, lambda x, out: [helper.make_node("Mul", [x, x], [out])], wide_root=True)


def direct_product(model):
    """B·A without an identity matrix, as PEFT wrote it before 0.12."""
    graph = model.graph
    if not any(node.op_type in ("EyeLike", "Equal") for node in graph.node):
        raise NotApplicable("no identity matrix in the graph")
    for division in [node for node in graph.node if node.op_type == "ReduceL2"]:
        total = behind_casts(graph, division.input[0])
        scaled = next((behind_casts(graph, value) for value in total.input if reaches(graph, value, "Mul", 2)), None)
        if scaled is None:
            raise NotApplicable("no s in the norm")
        index = next(i for i, value in enumerate(scaled.input) if reaches(graph, value, "Transpose", 3))
        turned = next(producer(graph, value) for value in chain(graph, scaled.input[index], "Transpose"))
        product = behind_casts(graph, turned.input[0])
        b_side = product.input[1]
        a_side = behind_casts(graph, product.input[0]).input[1]
        factors = []
        for node_of, value in ((product, b_side), (behind_casts(graph, product.input[0]), a_side)):
            transposed = producer(graph, value)
            if node_of.op_type == "MatMul" and transposed is not None and transposed.op_type == "Transpose":
                factors.append(transposed.input[0])
            elif node_of.op_type == "Gemm":
                factors.append(value)
            else:
                raise NotApplicable("A and B are stored transposed")
        at = list(graph.node).index(scaled)
        graph.node.insert(at, helper.make_node("MatMul", factors, [f"{scaled.output[0]}.direct"]))
        scaled.input[index] = f"{scaled.output[0]}.direct"
    remove_unread(graph)


def expand_norms(model, square, wide_root=False):
    graph = model.graph
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    nodes = []
    count = 0
    for node in graph.node:
        if node.op_type != "ReduceL2":
            nodes.append(node)
            continue
        count += 1
        x, out = node.input[0], node.output[0]
        axes = {a.name: a for a in node.attribute}
        listed = list(axes["axes"].ints) if "axes" in axes else None
        op_type = "ReduceSumSquare" if square is None else "ReduceSum"
        if square is not None:
            nodes += square(x, f"{out}.squares")
        attribute_axes = opset < (18 if square is None else 13)
        keep = helper.get_attribute_value(axes["keepdims"])
        if attribute_axes:
            total = helper.make_node(op_type, [x], [f"{out}.sum"], axes=listed, keepdims=keep)
        elif listed is not None:
            graph.initializer.append(helper.make_tensor(f"{out}.axes", TensorProto.INT64, [len(listed)], listed))
            total = helper.make_node(op_type, [x, f"{out}.axes"], [f"{out}.sum"], keepdims=keep)
        else:
            total = helper.make_node(op_type, [x, node.input[1]], [f"{out}.sum"], keepdims=keep)
        if square is not None:
            total.input[0] = f"{out}.squares"
        nodes.append(total)
        if wide_root:
            nodes += [
                helper.make_node("Cast", [f"{out}.sum"], [f"{out}.wide"], to=TensorProto.DOUBLE),
                helper.make_node("Sqrt", [f"{out}.wide"], [f"{out}.root"]),
                helper.make_node("Cast", [f"{out}.root"], [out], to=TensorProto.FLOAT),
            ]
        else:
            nodes.append(helper.make_node("Sqrt", [f"{out}.sum"], [out]))
    if count == 0:
        raise NotApplicable("no norm in the graph")
    replace_nodes(graph, nodes)


def adapter_initializers(graph):
    found = [tensor for tensor in graph.initializer if any(name in tensor.name for name in ADAPTER_NAMES)]
    if len(found) < 3:
        raise NotApplicable("the adapter's tensors have lost their names")
    return found


def producer(graph, value):
    return next((node for node in graph.node if value in node.output), None)


def behind_casts(graph, value):
    node = producer(graph, value)
    while node is not None and node.op_type in ("Cast", "Identity"):
        node = producer(graph, node.input[0])
    return node


def reaches(graph, value, op_type, steps):
    return any(True for _ in chain(graph, value, op_type, steps))


def chain(graph, value, op_type, steps=4):
    """Values at most `steps` first inputs back that `op_type` computes."""
    for _ in range(steps):
        node = producer(graph, value)
        if node is None:
            return
        if node.op_type == op_type:
            yield value
            return
        value = node.input[0]


def remove_unread(graph):
    while True:
        read = {value for node in graph.node for value in node.input} | {output.name for output in graph.output}
        dead = [node for node in graph.node if not any(value in read for value in node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    read = {value for node in graph.node for value in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def replace_nodes(graph, nodes):
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
