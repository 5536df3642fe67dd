"""Learn to remove noise from pictures, the smallest training run."""

from farm import Field, Run, TaskParams, hookimpl


class Denoise(Run):
    """Train a small network to remove noise."""

    name, result = "denoise", "denoise.safetensors"

    class Params(TaskParams):
        steps: int = Field(300, ge=1, description="Steps to train.")

    def facts(self, inputs, context):
        return {"pictures": context.pictures(inputs[0]).digest}

    def train(self, inputs, folder, context):
        import torch

        from farm.engine import training as t

        pictures, seed, batch = context.pictures(inputs[0]), context.seed, 8
        with t.seeded(seed):
            net = torch.nn.Conv2d(3, 3, 5, padding=2).to(context.device)
        adam = torch.optim.Adam(net.parameters())
        state = t.TrainState({"net": net}, {"net": adam}, seed, self.facts(inputs, context))

        def step(state, rows):
            clean = feed.batch(state.step, rows).pictures
            draws = [t.row_generator(seed, state.step, row) for row in rows]
            noise = torch.stack([torch.randn(3, 32, 32, generator=draw) for draw in draws])
            clean, noisy = clean.to(context.device), (clean + noise / 5).to(context.device)
            loss = (net(noisy) - clean).square().mean((1, 2, 3)).sum() / batch
            t.optimizer_step(adam, loss, 1e-3, context.world)
            return t.StepResult({"error": loss}, warning=feed.warning)

        with t.Feed(pictures, seed, batch, lambda pixels, _: t.square(pixels, 32)) as feed:
            context.train(state, step, t.TrainingOptions(folder, self.params.steps, batch))
        if context.world.rank == 0:
            state.save(folder / self.result)


@hookimpl
def farm_tasks():
    return [Denoise]
